/**
 * The proxy's HPACK beside nghttp2's, over connections of node:http2: each decodes what the other encodes, with tables of
 * several sizes; and both refuse the same blocks. `TULLE_FUZZ_SEED` repeats a run, `TULLE_FUZZ_RUNS` takes longer.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Http2Error, Http2StreamError } from '../../../edge-proxy/http/codec/h2/error.ts';
import type { Field } from '../../../edge-proxy/http/codec/h2/fields.ts';
import { HpackDecoder } from '../../../edge-proxy/http/codec/h2/hpack.ts';
import { defaultHttp2Options } from '../../../edge-proxy/http/codec/h2/options.ts';
import { Random, runsFactor, seed } from '../random.ts';
import { block } from './blocks.ts';
import { EchoServer, HpackClient } from './nghttp2-peer.ts';

let server: EchoServer;
beforeAll(async () => {
  server = await EchoServer.start();
  console.log(`hpack beside nghttp2: seed ${seed}`);
});
afterAll(() => server.stop());

const pseudo: Field[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'a.test'],
];
const latin = (from: number, to: number) => fc.integer({ min: from, max: to }).map((code) => String.fromCharCode(code));
const nameChar = fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~");
const name = fc.oneof(
  fc.string({ unit: nameChar, minLength: 1, maxLength: 60 }).map((text) => `x${text}`),
  fc.constantFrom('user-agent', 'accept', 'x-request-id', 'cache-control', 'authorization', 'cookie', 'grpc-timeout'),
);
const value = fc
  .oneof(
    fc.string({ unit: fc.oneof(latin(0x20, 0x7e), latin(0xa0, 0xff)), maxLength: 200 }),
    // Few values: they repeat, and enter the tables.
    fc.constantFrom('', 'a', 'b', 'gzip', 'x'.repeat(126), 'y'.repeat(127), 'z'.repeat(1500)),
  )
  .map((text) => text.trim());
const field = fc.tuple(name, value);
// node:http2 refuses to send some fields twice.
const fields = fc.uniqueArray(field, { maxLength: 15, selector: ([key]) => key });
const path = fc.string({ unit: latin(0x21, 0x7e), maxLength: 100 }).map((text): Field => [':path', `/${text}`]);

it('each decodes what the other encodes', async () => {
  const tableSize = fc.constantFrom(0, 32, 100, 1000, 4096, 16_384);
  const requests = fc.array(fc.tuple(path, fields), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(tableSize, requests, async (size, lists) => {
      const client = await HpackClient.connect(server.port, size);
      try {
        for (const [target, regular] of lists) {
          const sent = [...pseudo, target, ...regular];
          const response = await client.exchange(sent);
          expect(server.take(client.localPort, client.lastStream)).toEqual(sent);
          expect(Array.isArray(response) && response.filter(([key]) => key !== 'date')).toEqual([
            [':status', '200'],
            ...regular,
          ]);
        }
      } finally {
        client.destroy();
      }
    }),
    { seed, numRuns: 150 * runsFactor },
  );
});

const COMPRESSION_ERROR = 9;
/** What nghttp2 takes beside it. */
const STRICTER = new Set(['too many table size updates', 'an integer is too long']);

/** Why the proxy refuses a connection's first block; '' where it does not. */
function refusal(bytes: Uint8Array): string {
  try {
    new HpackDecoder(defaultHttp2Options).decode(bytes, 0, bytes.length, { onField() {} });
  } catch (error) {
    if (error instanceof Http2Error && !(error instanceof Http2StreamError)) return error.message;
    if (!(error instanceof Http2StreamError)) throw error;
  }
  return '';
}

it('both refuse the same blocks', async () => {
  const outcomes = { refused: 0, taken: 0 };
  for (let i = 0; i < 1500 * runsFactor; i++) {
    const bytes = block(new Random(seed + i));
    const client = await HpackClient.connect(server.port, 4096);
    const theirs = await client.send(bytes);
    server.take(client.localPort, client.lastStream);
    client.destroy();
    const why = refusal(bytes);
    const refused = !Array.isArray(theirs) && theirs.code === COMPRESSION_ERROR;
    outcomes[refused ? 'refused' : 'taken']++;
    if (!STRICTER.has(why))
      expect({ seed: seed + i, block: Buffer.from(bytes).toString('hex'), refused }).toEqual({
        seed: seed + i,
        block: Buffer.from(bytes).toString('hex'),
        refused: why !== '',
      });
  }
  // The comparison must have had something to compare.
  expect(Math.min(outcomes.refused, outcomes.taken)).toBeGreaterThan(300);
});
