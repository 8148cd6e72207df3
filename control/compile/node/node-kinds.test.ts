/** A kind that is compiled and not in NODE_KINDS would not reach proxies when it changes together with endpoints alone. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { NODE_KINDS } from './node.ts';

const COMPILE = join(import.meta.dirname, '..');

/**
 * Kinds whose changes show otherwise: WorkloadEntries in the endpoints, and at the addresses of the proxy; RequestAuthentications
 * in the policies, with their keys, that select the proxy; EnvoyFilters in the patches.
 */
const SHOWN_OTHERWISE = ['EnvoyFilter', 'WorkloadEntry', 'RequestAuthentication'];

it('compares every kind that is read when a node is compiled', () => {
  const files = readdirSync(COMPILE, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('testing/'),
  );
  const callsIn = (file: string) => [...readFileSync(join(COMPILE, file), 'utf8').matchAll(/\bresources\(([^)]*)\)/g)];
  const read = files.flatMap(callsIn).flatMap(([, given]) => /^\s*'(\w+)'/.exec(given!)?.[1] ?? []);
  expect([...new Set(read)].sort()).toEqual([...NODE_KINDS, ...SHOWN_OTHERWISE].sort());
  // A kind that is not written out cannot be found here; these are of the comparison itself, and of notes.
  const others = files.filter((file) => callsIn(file).some(([, given]) => !given!.includes("'")));
  expect(others.sort()).toEqual(['node/node.ts', 'node/not-compiled.ts']);
});
