/** `npm run bench:control`: what a mesh costs its control plane. See docs/performance.md. */
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import type { RuntimeName } from '../../../control/cli/runtimes.mjs';
import { type ControlResult, measureControl } from './measure.ts';
import type { Layout } from './mesh.ts';
import { plotOf } from './plot.ts';

interface Flags {
  scenario: [number, number][];
  layout: Layout;
  runtime: RuntimeName;
  identity?: true;
  changes: number;
  uses?: number;
  limit: number;
  json?: string;
  plot?: string;
}

const pairs = (text: string): [number, number][] =>
  text.split(',').map((pair) => {
    const found = /^(\d{1,5})x(\d{1,5})$/.exec(pair);
    if (!found) throw new InvalidArgumentError(`"${pair}" is not SERVICESxPROXIES`);
    return [Number(found[1]), Number(found[2])];
  });
const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number from 1');
  return value;
};
const choice =
  <T extends string>(allowed: readonly T[]) =>
  (text: string): T => {
    const found = allowed.find((one) => one === text);
    if (found === undefined) throw new InvalidArgumentError(`must be one of ${allowed.join(', ')}`);
    return found;
  };

const flags = new Command('bench:control')
  .description('Cold start, changes and memory of a control plane with simulated proxies')
  .option('--scenario <pairs>', 'services x proxies, as 100x40,1000x200', pairs, pairs('100x40,300x100,1000x200'))
  .option('--layout <name>', 'spread: 25 services a namespace; one: all in one', choice(['spread', 'one']), 'spread')
  .option('--runtime <name>', 'of the control plane', choice(['node', 'bun']), 'node')
  .option('--identity', 'proxies take no compressed answers')
  .option('--changes <n>', 'of each sort', positive, 3)
  .option('--uses <n>', 'services that each proxy uses and fetches on demand (default: all are sent)', positive)
  .option('--limit <seconds>', 'for a cold start, or a change', positive, 240)
  .option('--json <file>', 'where all figures go')
  .option('--plot <file>', 'where a plot of CPU and memory against services x proxies goes (SVG)')
  .parse()
  .opts<Flags>();

const results: ControlResult[] = [];
for (const [services, proxies] of flags.scenario) {
  const { layout, runtime, changes } = flags;
  const gzip = flags.identity !== true;
  const { uses } = flags;
  const scenario = { services, proxies, layout, runtime, gzip, changes, limitMs: flags.limit * 1000, uses };
  const result = await measureControl(scenario, (line) => console.error(`${services} x ${proxies}: ${line}`));
  results.push(result);
  console.log(report(result));
}
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(results, undefined, 1)}\n`);

if (flags.plot !== undefined) writeFileSync(flags.plot, plotOf(results));

function report(result: ControlResult): string {
  const { services, proxies, layout, runtime, uses } = result.scenario;
  const ms = (value: number) => `${Math.round(value)} ms`;
  const turn = (value: number | undefined) => (value === undefined ? 'not measured' : ms(value));
  const lines = [
    `\n${services} services (${layout}) x ${proxies} proxies${uses === undefined ? '' : ` that use ${uses}`}, control plane on ${runtime}`,
    `  start ${ms(result.startMs)}; all proxies up ${ms(result.coldMs)} (CPU ${ms(result.coldCpuMs)}), missing ${result.missing}, failures ${result.failures}${causesOf(result)}; ${Math.round(result.coldBytes / proxies / 1000)} KB a proxy`,
    `  resident ${Math.round(result.residentMb)} MB; /healthz at worst ${ms(result.healthzColdMs)} at the start, ${ms(result.healthzChangeMs)} during changes`,
    `  most CPU time between two turns of its event loop: ${turn(result.turnColdMs)} at the start, ${turn(result.turnChangeMs)} during changes`,
  ];
  for (const change of result.changes)
    lines.push(
      `  ${change.what}: ${change.proxies} ACKs, first ${ms(change.firstMs)}, p50 ${ms(change.p50Ms)}, p99 ${ms(change.p99Ms)}, last ${ms(change.lastMs)}; CPU ${ms(change.cpuMs)}; ${Math.round(change.bytesPerProxy)} bytes a proxy`,
    );
  return lines.join('\n');
}

function causesOf({ causes }: ControlResult): string {
  const counted = Object.entries(causes).map(([message, count]) => `${count} ${message}`);
  return counted.length === 0 ? '' : ` (${counted.join(', ')})`;
}
