/** `npm run bench`: see docs/performance.md. */
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import type { RuntimeName } from '../../control/cli/runtimes.mjs';
import { temporaryFolder } from '../kit/environment.ts';
import { measure, type ScenarioResult } from './measure.ts';
import { measureOwnCode, type OwnCode, ownCodeLine } from './own-code.ts';
import { PINNED, stopAll } from './parts.ts';
import { absent, type PeerName, RUNTIMES } from './peers.ts';
import { judge, ratios, table, verdictTable } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { measureValidate, type ValidateResult, validateLine } from './validate.ts';

const PEERS: readonly PeerName[] = [
  ...(['floor-bun', 'floor-node', 'floor-deno', 'nginx', 'haproxy', 'envoy'] as const),
  ...(['tulle-bun', 'tulle-node', 'tulle-deno'] as const),
];

const among =
  <T extends string>(allowed: readonly T[]) =>
  (text: string): T[] =>
    text.split(',').map((name) => {
      const found = allowed.find((one) => one === name);
      if (found === undefined) throw new InvalidArgumentError(`"${name}" is none of ${allowed.join(', ')}`);
      return found;
    });
const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0');
  return value;
};

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('must be a whole number from 0');
  return value;
};

interface Flags {
  scenario: string[];
  runtime: RuntimeName[];
  peers: PeerName[];
  rounds: number;
  seconds: number;
  warm: number;
  validate: number;
  ownCode: boolean;
  json?: string;
}

const flags = new Command('bench')
  .description('CPU per request, latency and memory of Tulle beside nginx, haproxy and Envoy')
  .option(
    '--scenario <names>',
    `of ${SCENARIOS.map((one) => one.name).join(', ')}; none: none of them`,
    (text) => (text === 'none' ? [] : among(SCENARIOS.map((s) => s.name))(text)),
    SCENARIOS.map((s) => s.name),
  )
  .option('--runtime <names>', 'bun, node, deno', among(RUNTIMES), [...RUNTIMES])
  .option('--peers <names>', `of ${PEERS.join(', ')}`, among(PEERS), [...PEERS])
  .option('--rounds <n>', 'of each peer, in turn', positive, 3)
  .option('--seconds <n>', 'of one round', positive, 5)
  .option('--warm <n>', 'seconds of load before the first round', positive, 3)
  .option('--validate <runs>', 'cold runs of tulle validate over a thousand resources; 0: none', count, 5)
  .option('--no-own-code', "without the cost of the proxy's own code")
  .option('--json <file>', 'where all figures go')
  .parse()
  .opts<Flags>();

const wanted = (name: PeerName) =>
  name.startsWith('tulle-') || name.startsWith('floor-') ? flags.runtime.includes(name.slice(6) as RuntimeName) : true;

const folder = temporaryFolder();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void stopAll().finally(() => {
      folder.dispose();
      process.exit(130);
    });
  });

const results: ScenarioResult[] = [];
let validated: ValidateResult | undefined;
let ownCode: OwnCode[] = [];
try {
  if (!PINNED) console.error('bench: one core, or no taskset: proxy and load share what there is');
  for (const scenario of SCENARIOS.filter(({ name }) => flags.scenario.includes(name))) {
    const result = await measure(scenario, {
      rounds: Math.ceil(flags.rounds),
      seconds: flags.seconds,
      warmSeconds: flags.warm,
      peers: flags.peers.filter(wanted),
      folder: folder.path,
      progress: (line) => console.error(line),
    });
    results.push(result);
    console.log(table(result));
  }
  if (flags.ownCode) {
    const present = flags.runtime.filter((runtime) => absent(`tulle-${runtime}`) === undefined);
    ownCode = measureOwnCode(folder.path, present);
    console.log(ownCodeLine(ownCode));
  }
  if (flags.validate > 0) {
    validated = measureValidate(folder.path, flags.validate);
    console.log(validateLine(validated));
  }
  const verdicts = judge(results);
  if (verdicts.length > 0) console.log(verdictTable(verdicts));
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(document(results), undefined, 1)}\n`);
} finally {
  folder.dispose();
}

function document(measured: readonly ScenarioResult[]): object {
  const machine = {
    ...{ processor: os.cpus()[0]?.model ?? '', cores: os.availableParallelism(), kernel: os.release(), pinned: PINNED },
    ...{ rounds: flags.rounds, seconds: flags.seconds },
  };
  return {
    machine,
    scenarios: measured.map((result) => ({ ...result, cpuRatios: ratios(result) })),
    ...(validated ? { validate: validated } : {}),
    ownCode,
    aims: judge(measured),
  };
}
