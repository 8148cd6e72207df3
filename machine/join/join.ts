/** `tulle join`: checks, certificate, set-up, start, self-test. A join that fails leaves nothing behind. */

import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { checkControlPlanes } from '../checks/control-plane-checks.ts';
import type { Category } from '../checks/finding.ts';
import { errorsOf } from '../checks/finding.ts';
import { checkHost } from '../checks/host-checks.ts';
import { ADMIN_PORT, HTTP_PROXY_PORT } from '../service/proxy-flags.ts';
import { type JoinBy, obtainCertificate } from './certificate.ts';
import { JoinError } from './control-plane.ts';
import { waitUntilReady } from './ready.ts';
import type { MachineRecord } from './record.ts';
import { selfTest } from './self-test.ts';
import { type JoinPlan, missingUser, type SetUpParts, setUp, startedUnits } from './set-up.ts';
import { Undo } from './undo.ts';

const READY_LIMIT_MS = 60_000;
const NEVER = new Promise<never>(() => {});

export type Wanted = Omit<JoinPlan, 'rootHash'>;

export interface JoinParts extends SetUpParts {
  /** What prevents capture, or redirects traffic besides it. */
  readonly captureChecks: () => Category;
  /** Redirects traffic and names; undone by `hostOff`. */
  readonly hostOn: (record: MachineRecord) => Promise<void>;
  readonly hostOff: () => Promise<void>;
  /** Starts the proxy in the foreground. @returns rejects when it ends before it is ready */
  readonly startProxy: (
    record: MachineRecord,
  ) => Promise<{ readonly failed: Promise<never>; stop(): Promise<unknown> }>;
  readonly onChecks: (categories: readonly Category[]) => void;
  /** One line on a step. */
  readonly report: (line: string) => void;
  /** Rejects when the user interrupts the join. */
  readonly interrupted: Promise<never>;
}

export interface JoinedMachine {
  readonly record: MachineRecord;
  /** RFC 3339, of its certificate. */
  readonly notAfter: string;
  /** One line on the request that went through the proxy. */
  readonly selfTest: string;
}

/** @throws Error in one line, after everything was taken back; what could not be is named behind it */
export async function joinMesh(by: JoinBy, wanted: Wanted, parts: JoinParts): Promise<JoinedMachine> {
  const undo = new Undo();
  // Awaited by races; the interruption may come between them.
  parts.interrupted.catch(() => {});
  try {
    return await attempt(by, wanted, parts, undo);
  } catch (error) {
    const left = await undo.run();
    throw new JoinError([(error as Error).message, ...left].join('; '));
  }
}

async function attempt(by: JoinBy, wanted: Wanted, parts: JoinParts, undo: Undo): Promise<JoinedMachine> {
  const { controlPlanes, rootHash } = by;
  const [{ category, reached }, host] = await Promise.all([
    checkControlPlanes(controlPlanes, rootHash),
    checkHost(parts.host, {
      capture: wanted.capture ? parts.captureChecks() : undefined,
      ports: portsOf(wanted),
    }),
  ]);
  const categories = [category, ...host];
  parts.onChecks(categories);
  const [first] = errorsOf(categories);
  const way = reached[0];
  if (first || !way) throw new JoinError([first?.error ?? 'no control plane can be reached', first?.hint].join('; '));

  await missingUser(wanted, parts);
  const begun = [way, ...reached.filter((other) => other !== way)].map(({ url }) => url);
  const joined = await unlessInterrupted(obtainCertificate(begun, way.root, by), parts.interrupted);
  parts.report(`certificate of ${joined.answer.spiffeId} obtained`);
  const record = await setUp({ ...wanted, rootHash }, joined, parts, undo);
  await start(record, parts, undo);
  return { record, notAfter: joined.answer.notAfter, selfTest: await selfTest(record, way.url) };
}

/** Of a joined machine, whose proxy is to run now. @throws Error where it does not become ready */
export async function start(record: MachineRecord, parts: JoinParts, undo: Undo): Promise<void> {
  let failed = NEVER;
  if (record.service === 'systemd') {
    parts.report('starting tulle-proxy.service');
    await unlessInterrupted(parts.systemd.start(startedUnits(record)), parts.interrupted);
  } else {
    const proxy = await parts.startProxy(record);
    undo.add('the proxy', () => proxy.stop());
    undo.add('capture', parts.hostOff);
    await parts.hostOn(record);
    failed = proxy.failed;
  }
  await unlessInterrupted(waitUntilReady(READY_LIMIT_MS, failed), parts.interrupted);
}

const unlessInterrupted = <T>(work: Promise<T>, interrupted: Promise<never>): Promise<T> =>
  Promise.race([work, interrupted]);

/** What the proxy listens on. */
function portsOf({ capture, dns }: Pick<Wanted, 'capture' | 'dns'>): number[] {
  if (!capture) return [ADMIN_PORT, HTTP_PROXY_PORT];
  const { outbound, inbound, dns: dnsPort } = CAPTURE_PORTS;
  return [ADMIN_PORT, outbound, inbound, ...(dns ? [dnsPort] : [])];
}
