// `npm test` from any Node 20 or newer: runs vitest on the pinned Node, which executes the TypeScript sources unbuilt.
// Temporary folders are made in one of this run's own, which goes with it, however a test ends.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeBinary } from '../control/cli/runtimes.mjs';

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tulle-run-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const run = spawn(nodeBinary(), [vitest, 'run', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, TMPDIR: folder },
});
// On Ctrl-C the terminal tells vitest as well; it ends its workers, and then so do we.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => run.kill(signal));
run.on('exit', (code) => process.exit(code ?? 1));
