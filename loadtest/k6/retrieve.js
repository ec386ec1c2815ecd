// k6 over gRPC, open loop: calls begin at a constant rate, whether or not the earlier ones have ended.
//
//     python -m loadtest.payloads BUNDLE --out build/load/requests.json
//     k6 run -e ADDRESS=127.0.0.1:50051 -e REQUESTS=build/load/requests.json -e RATE=200 -e SECONDS=30 loadtest/k6/retrieve.js
//
// A run with `dropped_iterations` above 0 did not send what it says: the threshold below fails it.

import grpc from 'k6/net/grpc';
import { check } from 'k6';
import { SharedArray } from 'k6/data';

const root = import.meta.resolve('../../');
const file = __ENV.REQUESTS.startsWith('/') ? __ENV.REQUESTS : root + __ENV.REQUESTS;
// one copy for all virtual users
const requests = new SharedArray('requests', () => JSON.parse(open(file)));
const client = new grpc.Client();
client.load([root.replace('file://', '')], 'protos/retrieval/v1/retrieval.proto');

export const options = {
  scenarios: {
    retrieve: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS || 10}s`,
      // a connection each; as many as are in flight when all is well, and room for when it is not
      preAllocatedVUs: Number(__ENV.CONNECTIONS || 16),
      maxVUs: Number(__ENV.CONNECTIONS || 16) * 4,
    },
  },
  thresholds: {
    checks: ['rate>0.999'],
    dropped_iterations: ['count==0'],
    grpc_req_duration: [`p(99)<${__ENV.P99_MS || 50}`],
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

let connected = false;

export default function () {
  if (!connected) {
    client.connect(__ENV.ADDRESS || '127.0.0.1:50051', { plaintext: true });
    connected = true;
  }
  const request = requests[Math.floor(Math.random() * requests.length)];
  const reply = client.invoke('retrieval.v1.Retrieval/Retrieve', request, { timeout: __ENV.DEADLINE || '1s' });
  check(reply, {
    'status is OK': (r) => r && r.status === grpc.StatusOK,
    'has candidates': (r) => r && r.message && r.message.candidates.length > 0,
  });
}
