import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { DiscoveryAnswer, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { shared } from '../compile/output/shared-resource.ts';
import { answerBody, answerChunks, type PollAnswer } from './answer.ts';
import { CompressedBlocks } from './compressed-blocks.ts';

const host = (n: number) => ({ name: `h${n}:80`, domains: [`h${n}`, 'ü'], routes: [] });
function answer(hosts: number): PollAnswer {
  const virtualHosts = Array.from({ length: hosts }, (_, n) => host(n));
  return {
    session: 'a "quoted" one',
    responses: [
      {
        systemVersionInfo: '1',
        typeUrl: TYPE_URLS.clusters,
        nonce: 'n.1',
        resources: [shared('clusters', { name: 'c' }), shared('clusters', { name: 'd' })],
        removedResources: ['e', 'f'],
      },
      {
        systemVersionInfo: '1',
        typeUrl: TYPE_URLS.routes,
        nonce: 'n.2',
        resources: [shared('routes', { name: '80', virtualHosts }), shared('routes', { name: 'empty' })],
        removedResources: [],
      },
    ],
  };
}
const plain = (hosts: number) => ({
  session: 'a "quoted" one',
  responses: [
    { resources: [{ name: 'c', resource: { '@type': TYPE_URLS.clusters, name: 'c' } }, { name: 'd' }] },
    { resources: [{ resource: { name: '80', virtualHosts: Array.from({ length: hosts }, (_, n) => host(n)) } }, {}] },
  ],
});
const read = async (body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>) =>
  new Response(body).text().then((text) => DiscoveryAnswer.parse(JSON.parse(text)));

it('is one piece when it is small', async () => {
  const body = answerBody(answer(2));
  expect(body).toBeInstanceOf(Uint8Array);
  expect(await read(body)).toMatchObject(plain(2));
});

it('is a stream of pieces when it is large', async () => {
  const body = answerBody(answer(5000));
  expect(body).toBeInstanceOf(ReadableStream);
  expect(await read(body)).toMatchObject(plain(5000));
});

it('lets the event loop run between the pieces', async () => {
  const reader = (answerBody(answer(5000)) as ReadableStream<Uint8Array>).getReader();
  let turns = 0;
  let reading = true;
  const count = () => {
    turns += 1;
    if (reading) setImmediate(count);
  };
  setImmediate(count);
  let pieces = 0;
  while (!(await reader.read()).done) pieces += 1;
  reading = false;
  expect(pieces).toBeGreaterThan(3);
  expect(turns).toBeGreaterThanOrEqual(pieces - 2);
});

it('encodes a resource and a virtual host once', () => {
  const first = [...answerChunks(answer(3))];
  const one = shared('clusters', { name: 'c' });
  expect(one.chunks()[0]).toBe(one.chunks()[0]);
  const routes = shared('routes', { name: '80', virtualHosts: [host(1)] });
  expect(routes.chunks()[2]).toBe(routes.chunks()[2]);
  expect(first.length).toBeGreaterThan(3);
});

it('keeps no bytes of secrets', () => {
  const secret = shared('secrets', { name: 's', tlsCertificate: { privateKey: { inlineString: 'PRIVATE' } } });
  expect(secret.chunks()[0]).not.toBe(secret.chunks()[0]);
});

it('gives a route configuration another version when one of its hosts differs', () => {
  const version = (...hosts: object[]) => shared('routes', { name: '80', virtualHosts: hosts as never }).version;
  expect(version(host(1), host(2))).toBe(version(host(1), host(2)));
  expect(version(host(1), host(2))).not.toBe(version(host(2), host(1)));
  expect(version(host(1))).not.toBe(version(host(2)));
});

const bytesOf = async (body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>) =>
  Buffer.from(await new Response(body).arrayBuffer());

it('is the same in gzip, in one member that every reader takes', async () => {
  for (const hosts of [2, 5000]) {
    const identity = await bytesOf(answerBody(answer(hosts)));
    const gzip = await bytesOf(answerBody(answer(hosts), new CompressedBlocks()));
    // Node's own reader checks sum and length.
    expect(gunzipSync(gzip).equals(identity)).toBe(true);
    const web = new Response(gzip).body!.pipeThrough(new DecompressionStream('gzip'));
    expect(Buffer.from(await new Response(web).arrayBuffer()).equals(identity)).toBe(true);
    if (hosts > 2) expect(gzip.length).toBeLessThan(identity.length / 5);
  }
});

it('compresses a run of resources once, and again only what is near to a change', async () => {
  const cluster = (n: number, timeout = '1s') => shared('clusters', { name: `cluster-${n}`, connectTimeout: timeout });
  const clusters = Array.from({ length: 400 }, (_, n) => cluster(n));
  const of = (resources: typeof clusters, session: string): PollAnswer => ({
    session,
    responses: [{ systemVersionInfo: '1', typeUrl: TYPE_URLS.clusters, nonce: '1', resources, removedResources: [] }],
  });
  const blocks = new CompressedBlocks();
  /** Bytes of new blocks. */
  const compressed = async (given: PollAnswer) => {
    const before = blocks.size;
    const identity = await bytesOf(answerBody(given));
    expect(gunzipSync(await bytesOf(answerBody(given, blocks))).equals(identity)).toBe(true);
    return blocks.size - before;
  };
  const all = await compressed(of(clusters, 'a'));
  expect(all).toBeGreaterThan(1000);
  expect(await compressed(of(clusters, 'b'))).toBe(0);
  expect(await compressed(of(clusters.with(200, cluster(200, '2s')), 'c'))).toBeLessThan(all / 4);
  expect(await compressed(of(clusters.slice(1), 'd'))).toBeLessThan(all / 4);
});

it('never compresses a secret, nor the session', async () => {
  const secrets = ['one', 'two'].map((name) =>
    shared('secrets', { name, tlsCertificate: { privateKey: { inlineString: `PRIVATE ${'key '.repeat(500)}` } } }),
  );
  const given: PollAnswer = {
    session: 'SESSION-SESSION-SESSION-SESSION',
    responses: [
      { systemVersionInfo: '1', typeUrl: TYPE_URLS.secrets, nonce: '1', resources: secrets, removedResources: [] },
    ],
  };
  const blocks = new CompressedBlocks();
  const identity = await bytesOf(answerBody(given));
  const gzip = await bytesOf(answerBody(given, blocks));
  expect(blocks.size).toBe(0);
  expect(gunzipSync(gzip).equals(identity)).toBe(true);
  const sent = gzip.toString('latin1');
  expect(sent).toContain(given.session);
  expect(sent.split(`PRIVATE ${'key '.repeat(500)}`)).toHaveLength(3);
});
