/** Runs one scenario: every peer is started once, then the rounds go from peer to peer in turn. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { authorityIn, clientSocket, type SvidFiles, serverSocket, svidFiles } from '../interop/tls/svids.ts';
import { holdIdle, isHttp2, type LoadPlan, load } from './load.ts';
import { stopAll } from './parts.ts';
import { absent, type Measured, type PeerName, startPeer } from './peers.ts';
import { cpuOf, residentOf } from './process-stats.ts';
import type { Scenario } from './scenarios.ts';
import { startUpstream } from './upstreams.ts';

export interface Round {
  /** CPU microseconds (user and system) per unit of the scenario. */
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly rssMb: number;
  readonly errors: number;
  /** Memory of each idle connection; 0 in other scenarios. */
  readonly perConnectionKb: number;
}

export interface PeerResult {
  readonly name: string;
  /** Resident memory after the start, before any load. */
  readonly idleMb: number;
  readonly rounds: readonly Round[];
  readonly median: Round;
}

export interface ScenarioResult {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly peers: readonly PeerResult[];
  /** Peers that could not be measured, with the reason. */
  readonly skipped: readonly string[];
}

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmSeconds: number;
  readonly peers: readonly PeerName[];
  readonly folder: string;
  readonly progress: (line: string) => void;
}

const MB = 1024 * 1024;
/** Requests that bring a compiler to its steady state, for each second of warming. */
const WARM_REQUESTS = 10_000;

/** @throws when a process that is needed does not start or the load fails */
export async function measure(scenario: Scenario, options: Options): Promise<ScenarioResult> {
  const wanted = options.peers.filter((name) => name.startsWith('tulle-') || scenario.beside.includes(name));
  const skipped = wanted.map((name) => [name, absent(name)] as const).filter(([, why]) => why !== undefined);
  const names = wanted.filter((name) => absent(name) === undefined);
  try {
    return await measureAll(
      scenario,
      names,
      skipped.map(([name, why]) => `${name}: ${why}`),
      options,
    );
  } finally {
    await stopAll();
  }
}

async function measureAll(
  scenario: Scenario,
  names: readonly PeerName[],
  skipped: string[],
  options: Options,
): Promise<ScenarioResult> {
  const folder = join(options.folder, scenario.name);
  const { svids, port } = await prepare(scenario, folder);
  const files = svids && { cert: svids.server.cert, key: svids.server.key, roots: svids.server.roots };
  const http2 = isHttp2(scenario.mode);
  const server = svids && serverSocket(svids.server, svids.client.id);
  const bootstrap = scenario.bootstrap({
    ...{ port, http2 },
    ...(svids && {
      downstreamTls: http2 ? offering('h2', server!) : server!,
      upstreamTls: offering(http2 ? 'h2' : 'http/1.1', clientSocket(svids.server, svids.server.id)),
    }),
  });
  const setting = {
    ...{ bootstrap, upstreamPort: port, tls: files, folder },
    ...{ tcp: scenario.mode === 'download', webSocket: scenario.mode === 'websocket', http2 },
  };
  const plan = (peer: Measured, seconds: number): LoadPlan => ({
    ...{ mode: scenario.mode, port: peer.port, connections: scenario.connections, seconds, rate: 0 },
    ...{ bytes: scenario.upstream.bytes, streams: scenario.streams ?? 1, headers: scenario.headers ?? {} },
    tls: svids && { cert: svids.client.cert, key: svids.client.key, roots: svids.client.roots },
  });
  const peers: { peer: Measured; idleMb: number; rounds: Round[] }[] = [];
  for (const name of names) {
    options.progress(`${scenario.name}: starting ${name}`);
    const peer = await startPeer(name, setting);
    // What a start leaves behind is given back within moments; memory is read when it no longer shrinks.
    const idleMb = (await settledMemory(peer.pid)) / MB;
    peers.push({ peer, idleMb, rounds: [] });
  }
  const rate = await warm(
    scenario,
    peers.map(({ peer }) => peer),
    plan,
    options,
  );
  for (let round = 1; round <= options.rounds; round++)
    for (const { peer, rounds } of peers) {
      const made =
        scenario.mode === 'idle'
          ? await idleRound(peer, plan(peer, 0))
          : await loadRound(scenario, peer, { ...plan(peer, options.seconds), rate });
      rounds.push(made);
      options.progress(`${scenario.name}: round ${round}/${options.rounds} ${describe(peer.name, scenario, made)}`);
    }
  return {
    name: scenario.name,
    what: scenario.what,
    unit: scenario.unit,
    peers: peers.map(({ peer, idleMb, rounds }) => ({ name: peer.name, idleMb, rounds, median: medianOf(rounds) })),
    skipped,
  };
}

/** nginx refuses a client that offers no protocol it knows, and it does not know Istio's. */
function offering(protocol: string, socket: ReturnType<typeof clientSocket | typeof serverSocket>): object {
  const { typed_config: config } = socket;
  const { common_tls_context: common } = config as unknown as { common_tls_context: object };
  return { ...socket, typed_config: { ...config, common_tls_context: { ...common, alpn_protocols: [protocol] } } };
}

async function prepare(scenario: Scenario, folder: string) {
  mkdirSync(join(folder, 'ca'), { recursive: true });
  let svids: { client: SvidFiles; server: SvidFiles } | undefined;
  if (scenario.mutualTls) {
    const authority = await authorityIn(join(folder, 'ca'));
    svids = {
      client: await svidFiles(authority, folder, 'client'),
      server: await svidFiles(authority, folder, 'server'),
    };
  }
  const tls = svids && { cert: svids.server.cert, key: svids.server.key, roots: svids.server.roots };
  const port = await startUpstream({ ...scenario.upstream, ...(tls && { tls }) }, folder);
  return { svids, port };
}

/** Brings compilers and pools to their steady state. @returns the rate for a latency scenario, else 0 */
async function warm(
  scenario: Scenario,
  peers: readonly Measured[],
  plan: (peer: Measured, seconds: number) => LoadPlan,
  options: Options,
): Promise<number> {
  if (scenario.mode === 'idle') {
    for (const peer of peers) await load({ ...plan(peer, 1), mode: 'churn', connections: 4 });
    return 0;
  }
  let rate = 0;
  for (const peer of peers) {
    options.progress(`${scenario.name}: warming ${peer.name}`);
    let { done, seconds } = await load(plan(peer, options.warmSeconds));
    // A compiler is warm after a number of requests, not after a time; slow machines get four times as long.
    for (let again = 1; again < 4 && scenario.unit !== 'MB' && done < WARM_REQUESTS * options.warmSeconds; again++) {
      const more = await load(plan(peer, options.warmSeconds));
      done += more.done;
      seconds += more.seconds;
    }
    // Without Envoy the slowest peer replaces it.
    if (scenario.halfRate && (peer.name === 'envoy' || rate === 0)) rate = Math.round(done / seconds / 2);
  }
  if (rate > 0) options.progress(`${scenario.name}: ${rate} requests/s`);
  return rate;
}

async function loadRound(scenario: Scenario, peer: Measured, plan: LoadPlan): Promise<Round> {
  let before = 0;
  const result = await load(plan, () => {
    before = cpuOf(peer.pid);
  });
  const cpu = cpuOf(peer.pid) - before;
  const units = scenario.unit === 'MB' ? result.bytes / MB : result.done;
  if (units === 0) throw new Error(`${scenario.name}: ${peer.name} served nothing (${result.errors} errors)`);
  return {
    ...{ cpuUs: cpu / units, perSecond: units / result.seconds, p50Us: result.p50Us, p99Us: result.p99Us },
    ...{ rssMb: residentOf(peer.pid) / MB, errors: result.errors, perConnectionKb: 0 },
  };
}

/** Memory of a process once five readings in a row did not fall. */
async function settledMemory(pid: number): Promise<number> {
  let least = residentOf(pid);
  for (let same = 0, tries = 0; same < 5 && tries < 50; tries++) {
    await new Promise((again) => setTimeout(again, 100));
    const now = residentOf(pid);
    same = now < least ? 0 : same + 1;
    least = Math.min(least, now);
  }
  return least;
}

async function idleRound(peer: Measured, plan: LoadPlan): Promise<Round> {
  const before = await settledMemory(peer.pid);
  const part = await holdIdle(plan);
  const after = await settledMemory(peer.pid);
  await part.stop();
  const perConnectionKb = (after - before) / 1024 / plan.connections;
  return { cpuUs: 0, perSecond: 0, p50Us: 0, p99Us: 0, rssMb: after / MB, errors: 0, perConnectionKb };
}

function describe(name: string, scenario: Scenario, round: Round): string {
  const cost =
    scenario.mode === 'idle'
      ? `${round.perConnectionKb.toFixed(1)} KB each`
      : `${round.cpuUs.toFixed(1)} us per ${scenario.unit}, ${Math.round(round.perSecond)}/s`;
  return `${name}: ${cost}${round.errors > 0 ? `, ${round.errors} errors` : ''}`;
}

function medianOf(rounds: readonly Round[]): Round {
  const of = (pick: (round: Round) => number) => {
    const sorted = rounds.map(pick).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  };
  return {
    cpuUs: of((round) => round.cpuUs),
    perSecond: of((round) => round.perSecond),
    p50Us: of((round) => round.p50Us),
    p99Us: of((round) => round.p99Us),
    rssMb: of((round) => round.rssMb),
    errors: rounds.reduce((sum, round) => sum + round.errors, 0),
    // The first round grows what later rounds use again: it is the one that counts.
    perConnectionKb: Math.max(...rounds.map((round) => round.perConnectionKb)),
  };
}
