/** RFC 9113 sections 3 to 8, by frame sequences in memory; tests/seams runs the same cases on every runtime. */
import { expect, it } from 'vitest';
import { clientCases } from '../../testing/http2/client-cases.ts';
import { floodCases } from '../../testing/http2/flood-cases.ts';
import { serverCases } from '../../testing/http2/server-cases.ts';

it.each([...serverCases])('a server, $name', async ({ run }) => {
  expect(await run()).toBe('');
});

it.each([...clientCases])('a client, $name', async ({ run }) => {
  expect(await run()).toBe('');
});

it.each([...floodCases])('$name', async ({ run }) => {
  expect(await run()).toBe('');
});
