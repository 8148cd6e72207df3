import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { outputOf } from '../kit/process.ts';

if (!RUNTIMES.includes('bun')) console.info('writes at sockets of Bun skipped: it is not installed');

it.skipIf(!RUNTIMES.includes('bun'))('Bun’s sockets copy what they do not send at once', () => {
  const [command, ...args] = runtimeCommand('bun', join(ROOT, 'tests/runtime/native-writer.child.ts'));
  const { waits, ...outcome } = JSON.parse(outputOf(command!, args)) as Record<string, unknown>;
  expect(outcome).toEqual({ copies: true, arrived: 4 * 8 * 1024 * 1024, wrong: 0 });
  expect(waits).toBeGreaterThan(0);
});
