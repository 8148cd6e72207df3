/** The frame sequences of edge-proxy/http/codec/h2/conformance.test.ts on every runtime. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { outputOf } from '../kit/process.ts';

it.each(RUNTIMES)('RFC 9113 by frame sequences on %s', (runtime) => {
  const [command, ...args] = runtimeCommand(runtime, join(ROOT, 'tests/seams/http2.child.ts'));
  const { cases, failed } = JSON.parse(outputOf(command!, args, { limitMs: 120_000 })) as {
    cases: number;
    failed: string[];
  };
  expect(failed).toEqual([]);
  expect(cases).toBeGreaterThan(110);
});
