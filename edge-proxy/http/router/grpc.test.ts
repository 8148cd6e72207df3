/** What the router makes of gRPC, over connections in memory. */
import { afterEach, describe, expect, it } from 'vitest';
import { planRetries } from '../routing/retry-plan.ts';
import { closeAll, forward, makeCluster, plan, setup } from '../testing/manager.ts';

afterEach(closeAll);

const post = (headers: string) => `POST /a.B/C HTTP/1.1\r\nHost: h\r\n${headers}Content-Length: 0\r\n\r\n`;
const GRPC = 'Content-Type: application/grpc\r\n';
const answer = (status: number, fields: string) => `HTTP/1.1 ${status} X\r\n${fields}Content-Length: 0\r\n\r\n`;

describe('outlier detection is given', () => {
  it.each([
    ['the HTTP status of a gRPC status in the head', GRPC, answer(200, 'grpc-status: 14\r\n'), 503],
    ['that of another one', GRPC, answer(200, 'grpc-status: 5\r\n'), 404],
    ['500 for one that does not exist', GRPC, answer(200, 'grpc-status: x\r\n'), 500],
    ['the status itself where there is none', GRPC, answer(502, ''), 502],
    ['the status itself of what is not gRPC', '', answer(200, 'grpc-status: 14\r\n'), 200],
  ])('%s', async (_, request, response, expected) => {
    const cluster = makeCluster([1]);
    const { connect, backend } = setup({ cluster });
    const client = connect();
    client.send(post(request));
    (await backend()).send(response);
    await client.saw('\r\n\r\n');
    expect(cluster.reports).toEqual([[1, expected]]);
  });
});

it.each([
  ['a status in the trailers that is an error', 'Transfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 14\r\n\r\n', 1],
  ['one that is none', 'Transfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 5\r\n\r\n', 0],
  ['trailers without one', 'Transfer-Encoding: chunked\r\n\r\n0\r\nx-a: 1\r\n\r\n', 1],
  ['no trailers', 'Content-Length: 2\r\n\r\nhi', 1],
  ['a head alone', 'Content-Length: 0\r\n\r\n', 1],
  ['a status in the head, which was reported', 'grpc-status: 14\r\nContent-Length: 0\r\n\r\n', 0],
])('counters of an endpoint know a failed call by %s', async (_, response, failures) => {
  let failed = 0;
  const cluster = { ...makeCluster([1]), onGrpcFailure: () => void failed++ };
  const { connect, backend, finished } = setup({ cluster });
  const client = connect();
  client.send(post(GRPC));
  (await backend()).send(`HTTP/1.1 200 OK\r\n${response}`);
  await client.until(() => finished.length === 1);
  expect(failed).toBe(failures);
});

it('a status that the policy names is retried', async () => {
  const retry = planRetries({ ...plan, on: new Set(['unavailable']) });
  const { connect, backend } = setup({ cluster: makeCluster([1, 2]), route: forward({ retry }) });
  const client = connect();
  client.send(post(GRPC));
  (await backend()).send(answer(200, 'grpc-status: 14\r\n'));
  const second = await backend();
  expect(await second.saw('\r\n\r\n')).toContain('x-envoy-attempt-count: 2\r\n');
  second.send(answer(200, 'grpc-status: 13\r\n'));
  expect(await client.saw('\r\n\r\n')).toContain('grpc-status: 13\r\n');
});

it('the time of a stream is what the client asks, within the route, and the upstream is sent it', async () => {
  const streamDuration = { maxMs: 60_000, grpc: { maxMs: 40, offsetMs: 0 } };
  const { connect, backend, finished } = setup({ route: forward({ streamDuration }) });
  const client = connect();
  client.send(post(`${GRPC}Grpc-Timeout: 9S\r\n`));
  expect((await (await backend()).saw('\r\n\r\n')).toLowerCase()).toContain('grpc-timeout: 40m\r\n');
  const got = await client.saw('\r\n\r\n');
  expect(got).toMatch(/^HTTP\/1.1 200 /);
  expect(got).toContain('grpc-status: 4\r\n');
  expect(finished[0]!.details).toBe('max_duration_timeout');
});
