/**
 * The process of the simulated proxies. It reads one JSON line of settings, then commands, one a line: `mark` begins a
 * measurement, `report` answers with one line what happened since.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type ProxyIdentity, SimulatedProxy } from './simulated-proxy.ts';

export interface ProxySettings {
  readonly url: string;
  readonly ca: string;
  readonly gzip: boolean;
  readonly proxies: readonly {
    readonly identity: number;
    readonly node: { readonly id: string };
    readonly uses?: readonly string[] | undefined;
  }[];
  readonly identities: readonly ProxyIdentity[];
}

/** Times in milliseconds since `mark`, one an ACK, in order. */
export interface ProxyReport {
  /** Proxies that have acknowledged at least one answer since their start. */
  readonly up: number;
  readonly acks: readonly number[];
  readonly bytes: number;
  readonly failures: number;
  /** How often each message of a failure came. */
  readonly causes: { readonly [message: string]: number };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const settings = JSON.parse((await lines.next()).value as string) as ProxySettings;

const up = new Set<string>();
let since = performance.now();
let acks: number[] = [];
let bytes = 0;
let failures = 0;
let causes = new Map<string, number>();

const proxies = settings.proxies.map(
  ({ identity, node, uses }) =>
    new SimulatedProxy({
      url: settings.url,
      ca: settings.ca,
      gzip: settings.gzip,
      identity: settings.identities[identity]!,
      node,
      uses,
      onAck: (size) => {
        up.add(node.id);
        acks.push(performance.now() - since);
        bytes += size;
      },
      onFailure: (error) => {
        failures++;
        causes.set(error.message, (causes.get(error.message) ?? 0) + 1);
      },
    }),
);
for (const proxy of proxies) void proxy.run();

for (;;) {
  const { value, done } = await lines.next();
  if (done) break;
  if (value === 'mark') {
    since = performance.now();
    acks = [];
    bytes = 0;
    failures = 0;
    causes = new Map();
  } else if (value === 'report') {
    const report: ProxyReport = { up: up.size, acks, bytes, failures, causes: Object.fromEntries(causes) };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}
for (const proxy of proxies) proxy.stop();
