/**
 * Machines of WorkloadGroups and their WorkloadEntries, after istiod (istio.io/istio pilot/pkg/autoregistration): a proxy whose
 * node names a group is registered when its session opens; its entry goes a grace time after it has left, or at once when it
 * says that it stops. What is written is what changed: a reconnection writes two annotations, which change nothing in the mesh.
 *
 * A machine is known by its join. So its entry moves when its address changes, and a second machine that claims an address is
 * refused for as long as the first one is connected.
 */
import { BlockList, isIP } from 'node:net';
import { canonicalIp } from '../../shared/match/cidr.ts';
import { labelValueViolation } from '../../shared/match/labels.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import type { Join } from '../ca/joins.ts';
import { isKind, namespaceOf, specOf } from '../mesh/fields.ts';
import type { MeshChange, MeshView } from '../mesh/view.ts';
import { ENTRY_RECORDS } from '../mesh/workload/workload-records.ts';
import type { ControlEvents } from '../telemetry/events.ts';
import { quotedKey } from './added-labels.ts';
import { ADDRESS_CONFLICT, type EntryStore, EntryWriter, entryKey } from './entry-writer.ts';
import { templateOf, type WorkloadGroup } from './group-template.ts';
import type { GroupReader } from './read-group.ts';
import { RegistrationError } from './registration-error.ts';
import { entryName, isRegistered, type Machine, machineOf, workloadEntryOf } from './workload-entry.ts';

/** Seconds from the moment that a machine has left to the removal of its entry (PILOT_WORKLOAD_ENTRY_GRACE_PERIOD of Istio). */
export const CLEANUP_SECONDS = { default: 10, max: 24 * 3600 } as const;
/** After a start of the control plane, so long at least for machines to come back: proxies attempt it every 5 s. */
export const RETURN_MS = 60_000;
const SWEEP_MS = 1000;
/** Entries that one sweep removes; the store writes them together. */
const REMOVED_AT_ONCE = 64;
/** A conflict that was not repeated for this long is over. */
const CONFLICT_MS = 30_000;

/** A session of a proxy. */
export interface RegisteringProxy {
  /** Of the session. */
  readonly id: string;
  /** May be another one at a later poll, of the same id. */
  readonly node: Node;
  /** Of `node`. */
  readonly nodeDigest: string;
  /** Serial number of the certificate that it last polled with; undefined: it has none. */
  readonly serial: string | undefined;
  readonly isConnected: () => boolean;
}

export interface RegistrationsOptions {
  readonly store: EntryStore;
  readonly group: GroupReader;
  readonly view: () => Pick<MeshView, 'workloadEntriesAt'>;
  readonly joinOf: (serial: string) => Join | undefined;
  /** Milliseconds. */
  readonly cleanupMs: number;
  /** Whether machines may have loopback addresses: all are on the host of the control plane. */
  readonly allowsLoopback: boolean;
  /** The control planes that machines may be connected to. */
  readonly replicas: { readonly id: string; isThere(id: string): boolean };
  readonly events: Pick<ControlEvents, 'registration'>;
  readonly report: (error: unknown) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

interface Registration {
  readonly name: string;
  readonly namespace: string;
  readonly group: string;
  join: string | undefined;
  /** Its sessions; the last one said what the entry has. Empty after a restart. */
  readonly proxies: Map<string, RegisteringProxy>;
  /** When the entry is removed; undefined: the machine is connected. */
  removeAt: number | undefined;
  /** The machine that was refused its address last. */
  conflict: { readonly at: number; readonly text: string } | undefined;
}

export class Registrations {
  private readonly options: RegistrationsOptions;
  private readonly writer: EntryWriter;
  private readonly now: () => number;
  /** What istiod's name is in `istio.io/workloadController`. */
  private readonly controller: string;
  /** By namespace and name of the entry. */
  private readonly byEntry = new Map<string, Registration>();
  private readonly byJoin = new Map<string, Registration>();
  private readonly bySession = new Map<string, Registration>();
  /** Sessions of machines that have no entry of ours, and why. */
  private readonly without = new Map<string, { readonly proxy: RegisteringProxy; readonly why: string }>();
  /** `nodeDigest` when the proxy was registered, or found to have no entry. */
  private readonly digests = new WeakMap<RegisteringProxy, string>();
  /** Writes about one entry follow each other. */
  private readonly queues = new Map<string, Promise<unknown>>();
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: RegistrationsOptions) {
    this.options = options;
    this.writer = new EntryWriter(options.store);
    this.controller = controllerName(options.replicas.id);
    this.now = options.now ?? Date.now;
  }

  /** Reads what an earlier control plane registered: machines that do not come back are forgotten like those that leave. */
  async start(): Promise<void> {
    await this.takeOver();
    this.timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.timer.unref?.();
  }

  /** Takes what a control plane registered that is there no more; also while others do. */
  async takeOver(): Promise<void> {
    for (const { metadata } of await this.writer.registered()) {
      const { name, namespace = '', annotations = {} } = metadata;
      if (this.byEntry.has(idOf(namespace, name)) || this.isElsewhere(annotations)) continue;
      const left = Date.parse(annotations[ENTRY_RECORDS.disconnectedAt] ?? '');
      const registration: Registration = {
        name,
        namespace,
        group: annotations[ENTRY_RECORDS.group]!,
        join: annotations[ENTRY_RECORDS.join],
        proxies: new Map(),
        removeAt: this.now() + Math.max(RETURN_MS, this.options.cleanupMs),
        conflict: undefined,
      };
      if (annotations[ENTRY_RECORDS.connectedAt] === undefined && !Number.isNaN(left))
        registration.removeAt = Math.max(left + this.options.cleanupMs, this.now());
      this.hold(registration);
    }
  }

  /** The machine of an entry is, or was last, connected to another control plane that is there. */
  private isElsewhere(annotations: Readonly<Record<string, string>> = {}): boolean {
    const controller = annotations[ENTRY_RECORDS.controller];
    if (controller === undefined || controller === this.controller) return false;
    return this.options.replicas.isThere(controller.slice(CONTROLLER.length));
  }

  /** Writes nothing more; resolves when the writes that are under way have ended. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    await Promise.all(this.queues.values());
  }

  /**
   * A proxy opens a session, or polls: a node that has changed is judged as that of a new session. @returns undefined: nothing is to be done
   * @throws RegistrationError (as a rejection): the machine may not be registered
   */
  seen(proxy: RegisteringProxy): Promise<void> | undefined {
    const known = this.bySession.get(proxy.id);
    const held = known
      ? known.removeAt === undefined && known.proxies.get(proxy.id)
      : this.without.get(proxy.id)?.proxy;
    if (held && this.digests.get(held) === proxy.nodeDigest) return undefined;
    const machine = machineOf(proxy.node);
    if (!machine) return held ? this.withdraw(proxy) : undefined;
    return this.register(proxy, machine).catch((error) => {
      // The entry that it had goes when no other process of the machine has it.
      this.detach(proxy);
      throw error;
    });
  }

  /** What an operator should know of a session's machine. */
  noteOn(sessionId: string): string | undefined {
    const { conflict } = this.bySession.get(sessionId) ?? {};
    return conflict?.text ?? this.without.get(sessionId)?.why;
  }

  /**
   * The proxy of a machine stops: its entry is removed at once, unless another process of the machine continues.
   * @returns whether an entry was removed
   */
  async leave(node: Node, serial: string | undefined): Promise<boolean> {
    const machine = machineOf(node);
    const found = machine && this.byEntry.get(idOf(machine.namespace, entryName(machine)));
    if (!found || found.join !== this.joinOf(serial)?.id) return false;
    const live = [...found.proxies.values()].filter((proxy) => proxy.isConnected());
    if (live.length > 1) return false;
    for (const proxy of live) this.keepWithout(proxy, 'its proxy stops: its WorkloadEntry is removed');
    return this.remove(found);
  }

  /** Groups that changed change the entries of their machines; entries that were deleted by others are forgotten. */
  follow({ written, deleted }: Pick<MeshChange, 'written' | 'deleted'>): void {
    for (const resource of deleted) {
      if (isKind(resource, 'WorkloadGroup')) this.groupDeleted(namespaceOf(resource), resource.metadata.name);
      if (resource.kind === 'WorkloadEntry') this.entryDeleted(resource);
    }
    for (const resource of written)
      if (isKind(resource, 'WorkloadGroup')) this.groupWritten(namespaceOf(resource), resource.metadata.name);
  }

  private async register(proxy: RegisteringProxy, machine: Machine): Promise<void> {
    const join = this.joinOf(proxy.serial);
    const group = await this.checked(machine, proxy, join);
    const id = idOf(machine.namespace, entryName(machine));
    const before = this.byEntry.get(id);
    const holder = before && isLive(before) ? before : await this.connectedElsewhere(machine);
    if (holder && holder.join !== join?.id) throw this.refusedAddress(holder, proxy, machine);
    const obstacle = before ? undefined : this.handWritten(machine);
    if (obstacle) return this.keepWithout(proxy, obstacle);
    const registration: Registration = before ?? {
      name: entryName(machine),
      namespace: machine.namespace,
      group: machine.group,
      join: join?.id,
      proxies: new Map(),
      removeAt: undefined,
      conflict: undefined,
    };
    if (before && before.join !== join?.id) this.changeHolder(before, join?.id);
    const old = this.detach(proxy);
    registration.removeAt = undefined;
    registration.proxies.set(proxy.id, proxy);
    this.digests.set(proxy, proxy.nodeDigest);
    // Of a machine whose join is not known, the session alone tells what it left.
    const moved = join ? this.byJoin.get(join.id) : old?.proxies.size === 0 ? old : undefined;
    this.hold(registration);
    this.bySession.set(proxy.id, registration);
    const left = moved && moved !== registration ? this.moveFrom(moved, machine) : undefined;
    await Promise.all([this.write(registration, group, machine, join), left]);
  }

  private async write(
    registration: Registration,
    group: WorkloadGroup,
    machine: Machine,
    join: Join | undefined,
  ): Promise<void> {
    const id = idOf(registration.namespace, registration.name);
    const records = { controller: this.controller, join: join?.id, connectedAt: new Date(this.now()) };
    const { entry, refused } = workloadEntryOf(group, machine, join?.labels ?? {}, records);
    for (const { key, reason } of refused)
      this.report('label', id, `label ${quotedKey(key)} of the machine is not taken: it ${reason}`);
    const done = await this.after(id, async () =>
      this.byEntry.get(id) === registration ? this.writer.put(entry) : 'gone',
    );
    if (done === 'gone') return;
    if (done !== undefined) return this.report(done, id);
    // Someone wrote an entry of this name in the meantime.
    const why = `WorkloadEntry ${id} was not made by registration and is used as it is`;
    for (const proxy of registration.proxies.values()) this.keepWithout(proxy, why);
    this.drop(registration);
  }

  /** @throws RegistrationError */
  private async checked(
    machine: Machine,
    { serial }: RegisteringProxy,
    join: Join | undefined,
  ): Promise<WorkloadGroup> {
    const { namespace, serviceAccount, group: name, address, network } = machine;
    const refuse = (code: 'not-allowed' | 'conflict', why: string) => {
      this.report('error', `${namespace}/${name}`, why);
      return new RegistrationError(code, `the machine is not registered: ${why}`);
    };
    if (serial === undefined) throw refuse('not-allowed', 'registration needs a client certificate');
    const unusable = addressViolation(address, this.options.allowsLoopback);
    if (unusable !== undefined) throw refuse('not-allowed', unusable);
    // It is a part of the entry's name, of which a long one is cut in front.
    if (labelValueViolation(network) !== undefined)
      throw refuse('not-allowed', 'its network is no name of at most 63 letters, digits, "-", "_" or "."');
    if (join && join.group !== name) throw refuse('not-allowed', otherGroup(join, machine));
    const group = await this.options.group(namespace, name);
    if (!group)
      throw refuse('conflict', `WorkloadGroup "${name}" of namespace "${namespace}" does not exist: create it`);
    const wanted = templateOf(group).serviceAccount;
    if (wanted !== serviceAccount)
      throw refuse('not-allowed', `WorkloadGroup "${name}" is of service account "${wanted}", not "${serviceAccount}"`);
    return group;
  }

  /** The machine with this address, where it is connected to another control plane. */
  private async connectedElsewhere(machine: Machine): Promise<Registration | undefined> {
    const key = entryKey(machine.namespace, entryName(machine));
    const { annotations } = (await this.writer.stored(key))?.metadata ?? {};
    if (!annotations?.[ENTRY_RECORDS.connectedAt] || !this.isElsewhere(annotations)) return undefined;
    return {
      name: key.name,
      namespace: key.namespace,
      group: annotations[ENTRY_RECORDS.group]!,
      join: annotations[ENTRY_RECORDS.join],
      proxies: new Map(),
      removeAt: undefined,
      conflict: undefined,
    };
  }

  private refusedAddress(holder: Registration, proxy: RegisteringProxy, machine: Machine): RegistrationError {
    const id = idOf(holder.namespace, holder.name);
    const text = `${proxy.node.id} of another machine claims its address ${machine.address}, too, and is refused: give one of them another address`;
    if (!holder.conflict) {
      const condition = {
        type: ADDRESS_CONFLICT,
        status: 'True',
        reason: 'AddressInUse',
        lastTransitionTime: new Date(this.now()).toISOString(),
        message: text,
      };
      this.background(id, () => this.writer.setCondition(keyOf(holder), ADDRESS_CONFLICT, condition));
    }
    holder.conflict = { at: this.now(), text };
    this.report('conflict', id, text);
    return new RegistrationError(
      'conflict',
      `the machine is not registered: another machine of WorkloadEntry ${id} is connected with address ${machine.address}: give one of them another address`,
    );
  }

  /** A hand-written entry describes the machine: by its name, or by its address in the same network. */
  private handWritten({ namespace, address, network, group }: Machine): string | undefined {
    const name = entryName({ group, address, network });
    const found = this.options
      .view()
      .workloadEntriesAt(address, namespace)
      .find((entry) => {
        const other = specOf(entry).network || network;
        return !isRegistered(entry) && (entry.metadata.name === name || network === '' || other === network);
      });
    return found && `WorkloadEntry ${namespace}/${found.metadata.name} has its address ${address} and is used as it is`;
  }

  /** Another machine takes the entry of one that has left. */
  private changeHolder(registration: Registration, join: string | undefined): void {
    if (registration.join !== undefined) this.byJoin.delete(registration.join);
    for (const id of registration.proxies.keys()) this.bySession.delete(id);
    registration.proxies.clear();
    registration.join = join;
  }

  /** The machine has another address now. */
  private async moveFrom(old: Registration, { address }: Machine): Promise<void> {
    for (const proxy of old.proxies.values())
      this.keepWithout(
        proxy,
        `its machine has address ${address} now; where this is another machine, its certificate was copied`,
      );
    await this.remove(old, false);
  }

  /** The node asks for no registration any more. */
  private async withdraw(proxy: RegisteringProxy): Promise<void> {
    const left = this.detach(proxy);
    if (left && !isLive(left)) await this.remove(left);
  }

  /** @returns the registration that the session had */
  private detach({ id }: RegisteringProxy): Registration | undefined {
    const registration = this.bySession.get(id);
    registration?.proxies.delete(id);
    this.bySession.delete(id);
    this.without.delete(id);
    return registration;
  }

  private keepWithout(proxy: RegisteringProxy, why: string): void {
    this.digests.set(proxy, proxy.nodeDigest);
    this.bySession.delete(proxy.id);
    this.without.set(proxy.id, { proxy, why });
  }

  /** @param ownsJoin whether the machine has no other registration */
  private async remove(registration: Registration, ownsJoin = true): Promise<boolean> {
    const id = idOf(registration.namespace, registration.name);
    this.drop(registration, ownsJoin);
    const removed = await this.after(
      id,
      async () => !this.byEntry.has(id) && (await this.writer.remove(keyOf(registration), this.mayRemove)),
    );
    if (removed) this.report('deleted', id);
    return removed;
  }

  /** A machine that has left this control plane may have come to another one meanwhile. */
  private readonly mayRemove = ({ metadata: { annotations } }: Resource): boolean =>
    annotations?.[ENTRY_RECORDS.connectedAt] === undefined || !this.isElsewhere(annotations);

  private hold(registration: Registration): void {
    this.byEntry.set(idOf(registration.namespace, registration.name), registration);
    if (registration.join !== undefined) this.byJoin.set(registration.join, registration);
  }

  private drop(registration: Registration, ownsJoin = true): void {
    const { namespace, name, join, proxies } = registration;
    const id = idOf(namespace, name);
    if (this.byEntry.get(id) === registration) this.byEntry.delete(id);
    if (ownsJoin && join !== undefined && this.byJoin.get(join) === registration) this.byJoin.delete(join);
    for (const session of proxies.keys())
      if (this.bySession.get(session) === registration) this.bySession.delete(session);
  }

  private sweep(): void {
    const now = this.now();
    let left = REMOVED_AT_ONCE;
    for (const registration of this.byEntry.values()) {
      if (registration.removeAt === undefined) {
        if (!isLive(registration)) this.disconnected(registration, now);
        else this.endConflict(registration, now);
      } else if (registration.removeAt <= now && left-- > 0)
        this.remove(registration).catch((error) => this.failed(error));
    }
    for (const [id, { proxy }] of this.without) if (!proxy.isConnected()) this.without.delete(id);
  }

  private disconnected(registration: Registration, now: number): void {
    const id = idOf(registration.namespace, registration.name);
    registration.removeAt = now + this.options.cleanupMs;
    this.report('disconnected', id);
    this.background(id, async () => {
      // It has come back, or its entry is removed.
      if (registration.removeAt === undefined || this.byEntry.get(id) !== registration) return;
      const written = await this.writer.disconnected(keyOf(registration), new Date(now), this.controller);
      // Another control plane has it now, or it is not there.
      if (!written && registration.removeAt !== undefined) this.drop(registration);
    });
  }

  private endConflict(registration: Registration, now: number): void {
    for (const [id, proxy] of registration.proxies)
      if (registration.proxies.size > 1 && !proxy.isConnected()) registration.proxies.delete(id);
    if (!registration.conflict || now - registration.conflict.at < CONFLICT_MS) return;
    registration.conflict = undefined;
    const id = idOf(registration.namespace, registration.name);
    this.background(id, () => this.writer.setCondition(keyOf(registration), ADDRESS_CONFLICT, undefined));
  }

  private groupWritten(namespace: string, name: string): void {
    for (const registration of this.byEntry.values()) {
      if (registration.namespace !== namespace || registration.group !== name) continue;
      const proxy = [...registration.proxies.values()].findLast((each) => each.isConnected());
      if (proxy) this.again(proxy);
    }
    this.retryWithout(namespace);
  }

  /** As Kubernetes collects what its owner leaves behind. */
  private groupDeleted(namespace: string, name: string): void {
    for (const registration of [...this.byEntry.values()]) {
      if (registration.namespace !== namespace || registration.group !== name) continue;
      for (const proxy of registration.proxies.values())
        this.keepWithout(proxy, `its WorkloadGroup "${name}" was deleted: create it again, or stop the machine`);
      this.remove(registration).catch((error) => this.failed(error));
    }
  }

  private entryDeleted(entry: Resource): void {
    const namespace = namespaceOf(entry);
    const registration = this.byEntry.get(idOf(namespace, entry.metadata.name));
    if (registration && isRegistered(entry)) {
      for (const proxy of registration.proxies.values())
        this.keepWithout(proxy, 'its WorkloadEntry was deleted: it is made again when the proxy connects again');
      this.drop(registration);
    }
    if (!isRegistered(entry)) this.retryWithout(namespace);
  }

  /** What stood in the way may be gone. */
  private retryWithout(namespace: string): void {
    for (const [id, { proxy }] of [...this.without]) {
      if (machineOf(proxy.node)?.namespace !== namespace || !proxy.isConnected()) continue;
      this.without.delete(id);
      this.again(proxy);
    }
  }

  private again(proxy: RegisteringProxy): void {
    const machine = machineOf(proxy.node);
    if (!machine) return;
    this.register(proxy, machine).catch((error: Error) => {
      this.keepWithout(proxy, error.message);
      if (!(error instanceof RegistrationError)) this.failed(error);
    });
  }

  private joinOf(serial: string | undefined): Join | undefined {
    return serial === undefined ? undefined : this.options.joinOf(serial);
  }

  private background(id: string, write: () => Promise<void>): void {
    this.after(id, write).catch((error) => this.failed(error));
  }

  /** Runs after the writes about the same entry that are under way. */
  private after<T>(id: string, write: () => Promise<T>): Promise<T> {
    const before = this.queues.get(id) ?? Promise.resolve();
    const run = before.then(write, write);
    const settled = run.then(
      () => {},
      () => {},
    );
    this.queues.set(id, settled);
    void settled.then(() => {
      if (this.queues.get(id) === settled) this.queues.delete(id);
    });
    return run;
  }

  private report(what: Parameters<ControlEvents['registration']>[0]['what'], entry: string, reason?: string): void {
    this.options.events.registration({ what, entry, reason });
  }

  private failed(error: unknown): void {
    this.report('error', '', error instanceof Error ? error.message : String(error));
    this.options.report(error);
  }
}

function otherGroup({ group }: Join, { group: name, namespace }: Machine): string {
  if (group !== undefined) return `it joined for WorkloadGroup "${group}", not "${name}"`;
  return `it joined without a WorkloadGroup: join again with an invitation ("tulle invite --group ${name} -n ${namespace}"), or create a WorkloadEntry with its address and start it without --group`;
}

const CONTROLLER = 'tulle-';
const controllerName = (id: string): string => `${CONTROLLER}${id}`;
const idOf = (namespace: string, name: string): string => `${namespace}/${name}`;
const keyOf = ({ namespace, name }: Registration) => entryKey(namespace, name);

function isLive({ proxies }: Registration): boolean {
  for (const proxy of proxies.values()) if (proxy.isConnected()) return true;
  return false;
}

/**
 * Addresses that mean all hosts or a group of them, or at each peer another host than here: of a link, as that of the metadata
 * service of clouds (RFC 6890).
 */
const UNUSABLE = new BlockList();
for (const [subnet, length] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  UNUSABLE.addSubnet(subnet, length, 'ipv4');
for (const [subnet, length] of [
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  UNUSABLE.addSubnet(subnet, length, 'ipv6');

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * A name or the path of a Unix socket would lead peers to what the machine chooses of theirs, and a second spelling of an address
 * would be a second entry of it.
 */
function addressViolation(address: string, allowsLoopback: boolean): string | undefined {
  const canonical = canonicalIp(address);
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  if (canonical === undefined || UNUSABLE.check(address, family))
    return `${address || 'no address'} is not an address that peers reach`;
  if (!allowsLoopback && LOOPBACK.check(address, family))
    return `${address} is not an address that peers reach: it is a loopback address, and the control plane is reached on another; start it with --ip`;
  return canonical === address ? undefined : `its address ${address} must be written ${canonical}`;
}
