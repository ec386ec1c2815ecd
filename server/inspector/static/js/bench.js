// The query bench: a question on the left, what came of it on the right.

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { questionForm } from "./question.js";
import { results } from "./results.js";
import { empty, loading, problem, warning } from "./states.js";

export function bench(root, parameters) {
  const turn = { asked: 0, left: false };
  async function load() {
    put(root, loading("Asking the server what can be asked …"));
    try {
      const facts = await get("overview");
      if (!turn.left) await draw(root, facts, parameters, turn);
    } catch (error) {
      if (!turn.left) put(root, problem(error, load));
    }
  }
  function changed() {
    const answer = root.querySelector(".answer");
    if (!answer) load();
    else answer.prepend(warning("The server serves another bundle now", "What is below was answered by the one before. Ask again, or load this page again for new countries and users."));
  }
  document.addEventListener("bundlechange", changed);
  load();
  return () => {
    turn.left = true;
    document.removeEventListener("bundlechange", changed);
  };
}

async function draw(root, facts, parameters, turn) {
  const answer = h("section", { class: "answer", "aria-label": "Answer", "aria-live": "polite" });
  const form = questionForm(facts, ask);
  const asked = parameters.get("country");
  const known = !asked || facts.countries.some((country) => country.code === asked);

  async function ask(question) {
    const mine = (turn.asked += 1);
    form.busy(true);
    if (!answer.querySelector(".columns")) put(answer, loading("Asking …"));
    answer.setAttribute("aria-busy", "true");
    try {
      const found = await post("query", question);
      if (mine === turn.asked && !turn.left) {
        put(answer, results(found, question, facts));
        history.replaceState(null, "", link(question));
      }
    } catch (error) {
      if (mine === turn.asked && !turn.left) put(answer, problem(error, () => ask(question)));
    } finally {
      form.busy(false);
      answer.removeAttribute("aria-busy");
    }
  }

  put(root, h("h1", { class: "visually-hidden" }, "Query bench"), h("div", { class: "bench" }, form, answer));
  put(
    answer,
    known ? "" : warning(`There is no country ${asked} in this bundle`, "Choose one of the list."),
    facts.bundle.fault ? warning("Titles cannot be searched here", `The bundle's folder is out of the inspector's reach: ${facts.bundle.fault}. An empty history can still be asked.`) : "",
    empty("Choose a sample user or add items by title, then ask. An empty history is a question, too: it shows what a new user gets."),
  );
  if (known && (await form.restore(parameters))) ask(form.question());
}

/** An address that asks the same again. */
function link(question) {
  const parameters = new URLSearchParams({ country: question.country, k: question.k });
  if (question.profile) parameters.set("profile", question.profile);
  if (question.user) parameters.set("user", question.user);
  else for (const event of question.history.slice(-50)) parameters.append("item", `${event.type}:${event.item_id}`);
  return `#/bench?${parameters}`;
}
