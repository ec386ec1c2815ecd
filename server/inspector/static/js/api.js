// The inspector's own JSON API. Every failure is an ApiError with a sentence for people.

export class ApiError extends Error {
  constructor(code, message, fields = []) {
    super(message);
    this.code = code;
    this.fields = fields;
  }
}

const HINTS = {
  INSPECTOR_UNREACHABLE: "The inspector does not answer",
  UNAVAILABLE: "The server serves no bundle",
  DEADLINE_EXCEEDED: "The server did not answer in time",
  FILES_UNAVAILABLE: "The bundle's files cannot be read here",
  NOT_FOUND: "Not found",
  INVALID_ARGUMENT: "The server refused the request",
  BAD_REQUEST: "The request is wrong",
};

/** What happened, in a few words. */
export const headline = (error) => HINTS[error.code] ?? error.code ?? "This page has a fault";

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("INSPECTOR_UNREACHABLE", "The process that makes this page is gone; it ends with the server.");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new ApiError("INSPECTOR_UNREACHABLE", `expected JSON, found status ${response.status}`);
  }
  if (body.error) throw new ApiError(body.error.code, body.error.message, body.error.fields);
  return body;
}

/** GET api/<page> with parameters. */
export function get(page, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  return call(`api/${page}${query ? `?${query}` : ""}`, { signal });
}

/** POST a value to api/<page>. */
export function post(page, value, signal = undefined) {
  const headers = { "content-type": "application/json" };
  return call(`api/${page}`, { method: "POST", headers, body: JSON.stringify(value), signal });
}
