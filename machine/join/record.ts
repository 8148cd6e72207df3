/** What a machine joined as, and what was set up on it for that, so that `tulle leave` takes back exactly this. */
import { join } from 'node:path';
import * as z from 'zod';
import { type Host, HostError } from '../host/host.ts';
import type { HostLayout } from '../host/layout.ts';

const RECORD_FILE = 'machine.json';
const Text = z.string().min(1).max(1024);
const Ports = z.record(z.string(), z.int());

const Record = z.strictObject({
  version: z.literal(1),
  spiffeId: Text,
  namespace: Text,
  serviceAccount: Text,
  group: Text.optional(),
  labels: z.record(z.string(), z.string()),
  ports: Ports,
  network: Text.optional(),
  locality: Text.optional(),
  /** Of the WorkloadGroup: what is captured, in place of all. */
  annotations: z.record(z.string(), z.string()).optional(),
  ephemeral: z.boolean(),
  controlPlanes: z.array(Text).min(1),
  /** Of the root that the invitation named, lower-case hexadecimal. */
  rootHash: z.string().regex(/^[0-9a-f]{64}$/),
  /** Of the workload. */
  name: Text,
  /** Under which peers reach it; absent: that on the way to the control plane, which the proxy follows when it changes. */
  address: Text.optional(),
  /** Whether the traffic of the host is redirected to the proxy. */
  capture: z.boolean(),
  /** Whether the host had IPv6 then. */
  ipv6: z.boolean(),
  dns: z.boolean(),
  /** Who starts the proxy: systemd, or the command itself in the foreground. */
  service: z.enum(['systemd', 'foreground']),
  /** Units of applications that wait for the proxy, as `reviews.service`. */
  applications: z.array(z.string().regex(/^[A-Za-z0-9:_.@\\-]{1,200}\.(service|target)$/)).max(64),
  /** The user that the join made. */
  madeUser: Text.optional(),
  /** The prefix that the installer put the command into, as `/usr/local`. */
  installed: z
    .enum(['/usr/local'])
    .or(z.string().regex(/^\/.+\/\.local$/))
    .optional(),
});
export type MachineRecord = z.infer<typeof Record>;

export const recordPath = ({ config }: HostLayout): string => join(config, RECORD_FILE);

/** @returns undefined: the machine has not joined @throws HostError where the file is damaged */
export async function readRecord(host: Host, layout: HostLayout): Promise<MachineRecord | undefined> {
  const path = recordPath(layout);
  const text = await host.read(path);
  if (text === undefined) return undefined;
  try {
    return Record.parse(JSON.parse(text));
  } catch {
    throw new HostError(`${path}: is damaged; remove it and run "tulle leave"`);
  }
}

export function writeRecord(host: Host, layout: HostLayout, record: MachineRecord): Promise<void> {
  return host.write(recordPath(layout), `${JSON.stringify(Record.parse(record), null, 2)}\n`, 0o644);
}
