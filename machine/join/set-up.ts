/** What a join changes on a host once it has its certificate: all of it, or nothing. */
import { join } from 'node:path';
import { formatIdentity, IDENTITY_FILE } from '../../shared/identity/identity-file.ts';
import { type Host, HostError } from '../host/host.ts';
import { CAPTURE_UNIT, type HostLayout, PROXY_UNIT, removeConfig } from '../host/layout.ts';
import { checkSystemUser, makeUser, removeUser, userExists } from '../service/account.ts';
import { DRAIN_SECONDS, proxyFlags } from '../service/proxy-flags.ts';
import type { Systemd } from '../service/systemd.ts';
import { applicationDropIn, captureSockets, captureUnit, proxyUnit } from '../service/units.ts';
import type { Joined } from './certificate.ts';
import { type MachineRecord, writeRecord } from './record.ts';
import type { Undo } from './undo.ts';

/** What is decided before anything is changed. */
export interface JoinPlan {
  readonly rootHash: string;
  /** Of the workload. */
  readonly name: string;
  /** Under which peers reach it; undefined: that on the way to the control plane, followed when it changes. */
  readonly address: string | undefined;
  readonly capture: boolean;
  /** Whether the host has IPv6. */
  readonly ipv6: boolean;
  readonly dns: boolean;
  readonly service: MachineRecord['service'];
  readonly applications: readonly string[];
  readonly installed: MachineRecord['installed'];
}

export interface SetUpParts {
  readonly host: Host;
  readonly layout: HostLayout;
  readonly systemd: Systemd;
  /** `tulle`, as a service starts it. */
  readonly tulle: readonly string[];
}

/** The commands that turn the redirection of traffic and names on and off, as `tulle-capture.service` runs them. */
export const HOST_COMMANDS = { on: ['join', '--host-on'], off: ['join', '--host-off'] } as const;

/**
 * Writes what a proxy starts with, and the units. Each step is in `undo` before it begins, so that also a half of it is taken
 * back.
 * @throws HostError
 */
export async function setUp(plan: JoinPlan, joined: Joined, parts: SetUpParts, undo: Undo): Promise<MachineRecord> {
  const { host, layout, systemd } = parts;
  const madeUser = await ensureUser(plan, parts, undo);
  const record = recordOf(plan, joined, madeUser);
  // First of all, so that `tulle leave` can take back a join that was killed.
  undo.add(layout.config, () => removeConfig(host, layout));
  await host.makeFolder(layout.config, 0o755);
  await writeRecord(host, layout, record);
  await writeIdentity(joined, parts, undo);
  if (plan.service === 'systemd') {
    undo.add('systemd units', () => systemd.remove(unitNames()));
    await systemd.write(unitsOf(record, parts));
  }
  for (const name of plan.applications) {
    if (!(await systemd.knows(name)))
      throw new HostError(`there is no unit ${name}; write it first, or join without it`);
    undo.add(`drop-in of ${name}`, () => systemd.removeDropIn(name));
    await systemd.writeDropIn(name, applicationDropIn());
  }
  return record;
}

/** All that a join may have written, in the order in which they are stopped. */
export const unitNames = (): string[] => [
  `${PROXY_UNIT}.service`,
  `${CAPTURE_UNIT}.service`,
  ...captureSockets().map(({ name }) => name),
];

export const startedUnits = ({ capture, ipv6 }: Pick<MachineRecord, 'capture' | 'ipv6'>): string[] => [
  ...(capture ? [...captureSockets(ipv6).map(({ name }) => name), `${CAPTURE_UNIT}.service`] : []),
  `${PROXY_UNIT}.service`,
];

function unitsOf(record: MachineRecord, { layout, tulle }: SetUpParts) {
  const command = [...tulle, 'proxy', ...proxyFlags(record, layout.data)];
  const inHome = tulle.some((word) => /^\/(home|root|run\/user)\//.test(word));
  const service = {
    command,
    reload: [...tulle, 'hot-restart'],
    user: layout.user,
    capture: record.capture,
    ipv6: record.ipv6,
    inHome,
    stopSeconds: DRAIN_SECONDS,
  };
  const { on, off } = HOST_COMMANDS;
  return [
    proxyUnit(service),
    ...(record.capture ? [...captureSockets(record.ipv6), captureUnit([...tulle, ...on], [...tulle, ...off])] : []),
  ];
}

/**
 * Before anything is changed, and a use of an invitation with it.
 * @returns the user that is to be made; undefined: none
 * @throws HostError where there is a user of its name that the proxy may not run as
 */
export async function missingUser(
  { service, capture }: Pick<JoinPlan, 'service' | 'capture'>,
  { host, layout: { user } }: Pick<SetUpParts, 'host' | 'layout'>,
): Promise<string | undefined> {
  if (user === undefined || !(service === 'systemd' || capture)) return undefined;
  if (!(await userExists(host, user))) return user;
  await checkSystemUser(host, user);
  return undefined;
}

/** @returns the user where it is made here */
async function ensureUser(plan: JoinPlan, parts: SetUpParts, undo: Undo): Promise<string | undefined> {
  const { host, layout } = parts;
  const user = await missingUser(plan, parts);
  if (user === undefined) return undefined;
  undo.add(`user ${user}`, async () => {
    if (await userExists(host, user)) await removeUser(host, user);
  });
  await makeUser(host, user, layout.data);
  return user;
}

async function writeIdentity({ identity }: Joined, { host, layout }: SetUpParts, undo: Undo): Promise<void> {
  const { data, user } = layout;
  const path = join(data, IDENTITY_FILE);
  if (await host.exists(path))
    throw new HostError(`${path} is there already: it is of another proxy; move the folder ${data} away`);
  const owner = user !== undefined && (await userExists(host, user)) ? user : undefined;
  undo.add(data, () => host.remove(data));
  await host.makeFolder(data, 0o700, owner);
  await host.write(path, formatIdentity(identity), 0o600, owner);
}

function recordOf(plan: JoinPlan, { answer }: Joined, madeUser: string | undefined): MachineRecord {
  const { spiffeId, namespace, serviceAccount, group, labels, ports, network, locality, annotations, ephemeral } =
    answer;
  const { rootHash, name, address, capture, ipv6, dns, service, applications, installed } = plan;
  return {
    version: 1,
    ...{ spiffeId, namespace, serviceAccount, labels, ports, ephemeral },
    ...(group !== undefined && { group }),
    ...(network !== undefined && { network }),
    ...(locality !== undefined && { locality }),
    ...(annotations !== undefined && { annotations }),
    controlPlanes: answer.controlPlanes,
    ...{ rootHash, name, ...(address !== undefined && { address }), capture, ipv6, dns, service },
    applications: [...applications],
    ...(madeUser !== undefined && { madeUser }),
    ...(installed !== undefined && { installed }),
  };
}
