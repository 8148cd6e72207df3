// `npm run bench:control` from any Node 20 or newer: the bench is TypeScript, which the pinned Node runs unbuilt.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nodeBinary } from '../../../control/cli/runtimes.mjs';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const run = spawnSync(nodeBinary(), ['--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(run.status ?? 1);
