/** One control plane with simulated proxies: cold start, changes, and the longest wait for /healthz meanwhile. */
import { mkdirSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { ControlApi } from '../../../control/cli/connection.ts';
import { resourcePath } from '../../../control/cli/resources/selection.ts';
import { type RuntimeName, runtimeCommand } from '../../../control/cli/runtimes.mjs';
import { kinds } from '../../../shared/resources/index.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { ROOT, temporaryFolder } from '../../kit/environment.ts';
import { Program } from '../../kit/process.ts';
import { cpuOf, residentOf } from '../process-stats.ts';
import { Fleet, usedBy } from './fleet.ts';
import { fillStore, type Layout, meshResources, virtualService, workloadEntry } from './mesh.ts';

export interface ControlScenario {
  readonly services: number;
  readonly proxies: number;
  readonly layout: Layout;
  readonly runtime: RuntimeName;
  /** Proxies take answers in gzip, as the product's do. */
  readonly gzip: boolean;
  /** Changes of each sort that are measured. */
  readonly changes: number;
  /** How long a cold start, or a change, may take. */
  readonly limitMs: number;
  /** How many services each proxy uses, and fetches on demand; undefined: it is sent all. */
  readonly uses?: number | undefined;
}

/** Milliseconds, CPU in milliseconds of the control plane's process. */
export interface ChangeCost {
  readonly what: string;
  readonly proxies: number;
  readonly firstMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lastMs: number;
  readonly cpuMs: number;
  readonly bytesPerProxy: number;
}

export interface ControlResult {
  readonly scenario: ControlScenario;
  /** Until the process announced itself. */
  readonly startMs: number;
  /** Until every proxy had acknowledged its first answer; proxies that had not when the limit was reached. */
  readonly coldMs: number;
  readonly coldCpuMs: number;
  readonly missing: number;
  /** Received by all proxies at the start. */
  readonly coldBytes: number;
  readonly failures: number;
  /** How often each message of a failure came. */
  readonly causes: { readonly [message: string]: number };
  readonly residentMb: number;
  readonly changes: readonly ChangeCost[];
  /** The longest wait for `/healthz`, asked every 20 ms, at the cold start and during changes. */
  readonly healthzColdMs: number;
  readonly healthzChangeMs: number;
  /** The most CPU time that the control plane used between two turns of its event loop; undefined on Bun. */
  readonly turnColdMs: number | undefined;
  readonly turnChangeMs: number | undefined;
}

export async function measureControl(
  scenario: ControlScenario,
  progress: (line: string) => void,
): Promise<ControlResult> {
  const folder = temporaryFolder();
  const data = join(folder.path, 'control');
  const stops: (() => Promise<void>)[] = [];
  try {
    const { services, proxies, layout, gzip, uses } = scenario;
    const caFolder = join(data, 'ca');
    mkdirSync(data, { mode: 0o700 });
    await fillStore(data, meshResources(services, layout));
    const began = performance.now();
    const control = await startControl(data, scenario.runtime);
    stops.push(control.stop);
    const startMs = performance.now() - began;
    progress(`control plane is up after ${Math.round(startMs)} ms`);

    await control.longestTurnMs();
    const coldProbe = probeHealth(control.url, control.ca);
    const cpuBefore = cpuOf(control.pid);
    const coldBegan = performance.now();
    const fleet = await Fleet.start({ url: control.url, caFolder, services, proxies, layout, gzip, uses });
    stops.unshift(() => fleet.stop());
    const cold = await waitFor(fleet, (report) => report.up >= proxies, scenario.limitMs);
    const coldMs = performance.now() - coldBegan;
    const coldCpuMs = (cpuOf(control.pid) - cpuBefore) / 1000;
    const healthzColdMs = await coldProbe.stop();
    const turnColdMs = await control.longestTurnMs();
    progress(`${cold.up} of ${proxies} proxies up after ${Math.round(coldMs)} ms, ${cold.failures} failures`);

    const probe = probeHealth(control.url, control.ca);
    const changes: ChangeCost[] = [];
    const api = new ControlApi(control.url, control.token, control.ca);
    for (let n = 0; cold.up >= proxies && n < scenario.changes; n++) {
      for (const [what, resource, service] of [
        ['endpoint', workloadEntry(1, 0, layout, 2 + n), 1],
        ['VirtualService', virtualService(0, layout, 80 - n), 0],
      ] as const) {
        const measured = { api, fleet, pid: control.pid, scenario, concerned: concernedBy(service, scenario) };
        changes.push(await measureChange(what, resource, measured));
        progress(`${what}: last ACK after ${Math.round(changes.at(-1)!.lastMs)} ms`);
      }
    }
    return {
      ...{
        scenario,
        startMs,
        coldMs,
        coldCpuMs,
        missing: proxies - cold.up,
        failures: cold.failures,
        causes: cold.causes,
        coldBytes: cold.bytes,
      },
      ...{ residentMb: residentOf(control.pid) / 1e6, changes, healthzColdMs, healthzChangeMs: await probe.stop() },
      ...{ turnColdMs, turnChangeMs: await control.longestTurnMs() },
    };
  } finally {
    for (const stop of stops) await stop();
    folder.dispose();
  }
}

/** How many proxies hold a service. */
function concernedBy(service: number, { proxies, services, uses }: ControlScenario): number {
  if (uses === undefined) return proxies;
  return Array.from({ length: proxies }, (_, proxy) => usedBy(proxy, services, uses)).filter((used) =>
    used.includes(service),
  ).length;
}

interface Measured {
  readonly api: ControlApi;
  readonly fleet: Fleet;
  readonly pid: number;
  readonly scenario: ControlScenario;
  /** How many proxies are to acknowledge the change. */
  readonly concerned: number;
}

async function measureChange(what: string, resource: Resource, { api, fleet, pid, scenario, concerned }: Measured) {
  const kind = kinds.find((one) => one.kind === resource.kind)!;
  const { namespace = 'default', name } = resource.metadata;
  fleet.mark();
  const cpuBefore = cpuOf(pid);
  await api.call('PUT', resourcePath(kind, namespace, name), resource);
  const report = await waitFor(fleet, ({ acks }) => acks.length >= concerned, scenario.limitMs);
  const acks = [...report.acks].sort((a, b) => a - b);
  const at = (part: number) => acks[Math.max(0, Math.ceil(acks.length * part) - 1)] ?? Number.NaN;
  return {
    ...{ what, proxies: acks.length, firstMs: at(0), p50Ms: at(0.5), p99Ms: at(0.99), lastMs: at(1) },
    ...{ cpuMs: (cpuOf(pid) - cpuBefore) / 1000, bytesPerProxy: report.bytes / Math.max(1, acks.length) },
  };
}

async function waitFor(fleet: Fleet, done: (report: Awaited<ReturnType<Fleet['report']>>) => boolean, limitMs: number) {
  const limit = performance.now() + limitMs;
  for (;;) {
    const report = await fleet.report();
    if (done(report) || performance.now() > limit) return report;
    await new Promise((again) => setTimeout(again, 20));
  }
}

interface RunningControl {
  readonly url: string;
  readonly ca: string;
  readonly token: string;
  readonly pid: number;
  /** Since it was asked last. */
  readonly longestTurnMs: () => Promise<number | undefined>;
  readonly stop: () => Promise<void>;
}

const PRELOAD = fileURLToPath(new URL('./turns.preload.ts', import.meta.url));

/** All proxies come from one address at once, and those of a namespace have one identity. */
const NO_LIMITS = [
  'connections-per-address',
  'connections',
  'sessions',
  'sessions-per-namespace',
  'sessions-per-identity',
].flatMap((limit) => [`--max-${limit}`, '1000000']);

async function startControl(data: string, runtime: RuntimeName): Promise<RunningControl> {
  const command = runtimeCommand(runtime, join(ROOT, 'control/cli/main.ts'));
  const measured = runtime === 'node';
  if (measured) command.splice(1, 0, '--import', PRELOAD);
  const profile = process.env['TULLE_BENCH_PROFILE'];
  if (measured && profile) command.splice(1, 0, '--cpu-prof', '--cpu-prof-interval', '500', '--cpu-prof-dir', profile);
  const flags = ['--data', data, '--port', '0', '--announce', ...NO_LIMITS];
  const control = new Program('control', [...command, 'control', ...flags]);
  const turns: ((ms: number) => void)[] = [];
  control.onLine((line, output) => {
    if (output === 'stdout') return;
    const turn = /^turn ([\d.]+) at /.exec(line);
    if (turn) turns.shift()?.(Number(turn[1]));
    if (!turn || process.env['TULLE_BENCH_TURNS']) process.stderr.write(`${line}\n`);
  });
  const longestTurnMs = async () => {
    if (!measured) return undefined;
    control.process.kill('SIGUSR2');
    return new Promise<number>((resolve) => turns.push(resolve));
  };
  const { url, trustBundle, adminToken } = await control.announcement<Record<string, string>>();
  const stop = async () => void (await control.stop(profile ? 'SIGTERM' : 'SIGKILL'));
  return { url: url!, ca: trustBundle!, token: adminToken!, pid: control.process.pid!, longestTurnMs, stop };
}

/** Asks `/healthz` every 20 ms, one question at a time. `stop` gives the longest answer time in milliseconds. */
function probeHealth(url: string, ca: string): { stop: () => Promise<number> } {
  const agent = new https.Agent({ keepAlive: true, ca, checkServerIdentity: () => undefined });
  let worst = 0;
  let running = true;
  const ask = () =>
    new Promise<void>((done) => {
      https
        .get(new URL('/healthz', url), { agent }, (response) => response.resume().on('end', done))
        .on('error', () => done());
    });
  const ended = (async () => {
    while (running) {
      const began = performance.now();
      await ask();
      worst = Math.max(worst, performance.now() - began);
      await new Promise((again) => setTimeout(again, 20));
    }
    agent.destroy();
  })();
  return {
    stop: async () => {
      running = false;
      await ended;
      return worst;
    },
  };
}
