import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import type { ApiEnv } from '../caller.ts';
import { respondToError } from '../resources/status.ts';
import { BodyBudget } from './body-budget.ts';
import { readJson } from './read-json.ts';

const LIMITS = { bytes: 2 * 1024 * 1024, timeoutMs: 100, depth: 32, values: 65_536 };

async function read(
  body: string | Uint8Array | ReadableStream<Uint8Array>,
  init: { headers?: Record<string, string>; bodies?: BodyBudget } = {},
) {
  const app = new Hono<ApiEnv>();
  app.onError(respondToError(() => {}));
  app.post('/', async (c) => c.json(await readJson(c, LIMITS)));
  const headers = { 'content-type': 'application/json', ...init.headers };
  const request = { method: 'POST', body, headers, duplex: 'half' } as RequestInit;
  const response = await app.request('/', request, init.bodies ? { bodies: init.bodies } : {});
  return { status: response.status, body: (await response.json()) as { message?: string } };
}

describe('JSON of callers that are not trusted', () => {
  it('is read', async () => {
    const value = { a: ['x,[{"', { b: null }, '\\'], 'c"\\': 'ü' };
    expect(await read(JSON.stringify(value))).toEqual({ status: 200, body: value });
  });

  it.each([
    ['many values', `{"P":[${Array(340_000).fill('{}').join()}]}`, /more than 65536 values/],
    ['many numbers', `[${Array(70_000).fill('1').join()}]`, /more than 65536 values/],
    ['deep arrays', '['.repeat(100_000), /deeper than 32 levels/],
    ['deep objects', '{"a":'.repeat(33), /deeper than 32 levels/],
    ['no JSON', '{"a":1', /not JSON/],
    ['YAML', 'a: 1', /not JSON/],
    ['bytes that are not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), /not JSON in UTF-8/],
  ])('is refused: %s', async (_name, body, message) => {
    expect(await read(body)).toMatchObject({ status: 400, body: { message: expect.stringMatching(message) } });
  });

  it('counts nothing inside texts', async () => {
    const text = ',[{"'.repeat(100_000);
    expect(await read(JSON.stringify({ text }))).toEqual({ status: 200, body: { text } });
  });

  it('is refused by its size, its type and its time, and its memory is given back', async () => {
    const bodies = new BodyBudget();
    expect(await read('1', { headers: { 'content-length': '3000000' }, bodies })).toMatchObject({ status: 413 });
    expect(await read('a: 1', { headers: { 'content-type': 'application/yaml' }, bodies })).toMatchObject({
      status: 415,
    });
    const endless = () =>
      new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    expect(await read(endless(), { bodies })).toMatchObject({ status: 413 });
    const stalled = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
    expect(await read(stalled, { bodies })).toMatchObject({ status: 408 });
    expect(bodies.reserved).toBe(0);
  });
});
