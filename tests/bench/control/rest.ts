/**
 * The resource API as clients meet it: time of a read, durable writes, events to many watchers. Run alone:
 * `node control/cli/bin.mjs --script tests/bench/control/rest.ts [runtime]`.
 */
import { once } from 'node:events';
import { type Agent, Agent as HttpsAgent, request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import type { RuntimeName } from '../../../control/cli/runtimes.mjs';
import { type ControlProcess, startControlProcess } from './control-process.ts';

const ENTRIES = '/apis/networking.istio.io/v1/namespaces/default/serviceentries';

export interface RestOptions {
  readonly runtime?: RuntimeName;
  readonly gets?: number;
  /** Writers at once, each on a connection of its own, and writes in all. */
  readonly clients?: number;
  readonly creates?: number;
  readonly watchers?: number;
  /** Writes that every watcher sees, each sent once all have seen the one before. */
  readonly events?: number;
}

export interface RestFigures {
  /** One keep-alive connection, milliseconds. */
  readonly getP50Ms: number;
  readonly getP99Ms: number;
  readonly createP50Ms: number;
  readonly createsPerSecond: number;
  readonly createsPerCpuSecond: number;
  /** CPU of the control plane for one event to one watcher, the write's own CPU taken off, milliseconds. */
  readonly watchEventCpuMs: number;
  /** From a write's start to the last watcher's event, median, milliseconds. */
  readonly watchLastP50Ms: number;
  /** Lines the control plane wrote while it was stopped with all watches open. */
  readonly linesAtStop: number;
}

/** Starts a control plane, measures it and stops it. */
export async function measureRest(options: RestOptions = {}): Promise<RestFigures> {
  const { runtime = 'node', gets = 400, clients = 16, creates = 3000, watchers = 200, events = 60 } = options;
  const control = await startControlProcess(runtime);
  const open: TLSSocket[] = [];
  let stopped = false;
  try {
    // The compilers of the runtime warm up on writes as well; these do not count.
    await create(control, { clients, count: Math.ceil(creates / 6), prefix: 'warm' });
    const read = await measureGets(control, gets);
    const written = await create(control, { clients, count: creates, prefix: 'bench' });
    const watched = await measureWatch(control, open, watchers, events);
    const before = control.lines.length;
    await control.stop();
    stopped = true;
    return { ...read, ...written, ...watched, linesAtStop: control.lines.length - before };
  } finally {
    for (const socket of open) socket.destroy();
    if (!stopped) await control.stop();
  }
}

async function measureGets(control: ControlProcess, count: number) {
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let at = 0; at < count + 50; at++) {
    const begin = performance.now();
    await call(control, agent, 'GET', `${ENTRIES}/warm-0`);
    if (at >= 50) times.push(performance.now() - begin);
  }
  agent.destroy();
  return { getP50Ms: quantile(times, 0.5), getP99Ms: quantile(times, 0.99) };
}

async function create(control: ControlProcess, plan: { clients: number; count: number; prefix: string }) {
  const times: number[] = [];
  let next = 0;
  const cpu = control.cpuSeconds();
  const begin = performance.now();
  const client = async () => {
    const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
    while (next < plan.count) {
      const started = performance.now();
      await call(control, agent, 'POST', ENTRIES, serviceEntry(`${plan.prefix}-${next++}`));
      times.push(performance.now() - started);
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: plan.clients }, client));
  return {
    createP50Ms: quantile(times, 0.5),
    createsPerSecond: (plan.count / (performance.now() - begin)) * 1000,
    createsPerCpuSecond: plan.count / (control.cpuSeconds() - cpu),
  };
}

/** Longer than the control plane gathers writes, so that what each of them sets off is the same in every pass. Milliseconds. */
const PACE_MS = 60;

async function measureWatch(control: ControlProcess, open: TLSSocket[], watchers: number, events: number) {
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
  const seen = { count: 0, wake: () => {} };
  /** Writes one after the other, each once every watcher has seen the one before. */
  const pass = async (name: string, count: number) => {
    const times: number[] = [];
    const cpu = control.cpuSeconds();
    for (let at = 0; at < count; at++) {
      const goal = seen.count + open.length;
      const begin = performance.now();
      const pace = new Promise((over) => setTimeout(over, PACE_MS));
      await call(control, agent, 'POST', ENTRIES, serviceEntry(`${name}-${at}`));
      while (seen.count < goal) await new Promise<void>((wake) => (seen.wake = wake));
      times.push(performance.now() - begin);
      await pace;
    }
    return { cpu: control.cpuSeconds() - cpu, times };
  };
  await pass('unwatched-warm', 20);
  const unwatched = await pass('unwatched', events);
  const { metadata } = await call(control, agent, 'GET', `${ENTRIES}?limit=1`);
  for (let at = 0; at < watchers; at++) open.push(await watch(control, metadata.resourceVersion, seen));
  await pass('watched-warm', 20);
  const watched = await pass('watched', events);
  agent.destroy();
  return {
    watchEventCpuMs: ((watched.cpu - unwatched.cpu) * 1000) / (events * watchers),
    watchLastP50Ms: quantile(watched.times, 0.5),
  };
}

/** A watch on a connection of its own; counts the lines that come. */
async function watch(control: ControlProcess, from: string, seen: { count: number; wake: () => void }) {
  const socket = connect({
    host: '127.0.0.1',
    port: Number(control.url.port),
    servername: 'localhost',
    ca: control.ca,
  });
  await once(socket, 'secureConnect');
  const path = `${ENTRIES}?watch=true&resourceVersion=${from}`;
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${control.token}\r\n\r\n`);
  socket.on('error', () => {});
  const started = Promise.withResolvers<void>();
  let head = true;
  socket.on('data', (chunk: Buffer) => {
    let from = 0;
    if (head) {
      // Heads come whole: nothing follows one before the first write.
      head = false;
      from = chunk.indexOf('\r\n\r\n') + 4;
      started.resolve();
    }
    for (let at = chunk.indexOf('}\n', from); at >= 0; at = chunk.indexOf('}\n', at + 1)) seen.count++;
    seen.wake();
  });
  await started.promise;
  return socket;
}

function serviceEntry(name: string) {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, labels: { app: name } },
    spec: {
      hosts: [`${name}.example`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 9080, name: 'http', protocol: 'HTTP' }],
      endpoints: [{ address: '10.0.0.1' }],
    },
  };
}

function call(control: ControlProcess, agent: Agent, method: string, path: string, body?: unknown) {
  return new Promise<{ metadata: { resourceVersion: string } }>((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${control.token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    };
    const sent = request(
      {
        host: '127.0.0.1',
        port: control.url.port,
        servername: 'localhost',
        ca: control.ca,
        agent,
        method,
        path,
        headers,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const read = Buffer.concat(chunks).toString();
          if (answer.statusCode! >= 300) reject(new Error(`${method} ${path}: ${answer.statusCode} ${read}`));
          else resolve(JSON.parse(read));
        });
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

if (import.meta.main) {
  const runtime = (process.argv[2] ?? 'node') as RuntimeName;
  console.log(JSON.stringify({ runtime, ...(await measureRest({ runtime })) }, null, 2));
}
