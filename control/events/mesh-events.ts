/** The Events that a control plane writes itself: what happened in the mesh, as one would ask of an object (docs/events.md). */
import type { Resource } from '../../shared/resources/resource.ts';
import type { ConditionChange } from '../status/conditions.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import type { ControlEvents } from '../telemetry/events.ts';
import type { ObjectReference, Occurrence } from './event-counter.ts';
import { EVENT_LIMITS, EventKeeper } from './event-keeper.ts';
import { EventRecorder } from './event-recorder.ts';

export interface EventSettings {
  /** Seconds from the last write of an event to its removal. Default: EVENT_LIMITS. */
  readonly ttlSeconds?: number;
  /** Most events of one namespace; the oldest go. Default: EVENT_LIMITS. */
  readonly perNamespace?: number;
}

export interface MeshEventsOptions extends EventSettings {
  readonly store: ResourceStore;
  readonly keyOf: (resource: Resource) => ResourceKey | undefined;
  readonly host: string;
  readonly onError: (error: unknown) => void;
}

export interface MeshEvents {
  /** Of what becomes an Event: taken beside the log and the metrics. */
  readonly taker: Partial<ControlEvents>;
  /** A condition of a resource's status that has become another one. */
  readonly onCondition: (resource: Resource, condition: ConditionChange) => void;
  stop(): Promise<void>;
}

/** Removes events whose time is over, and records those of the mesh, until `stop`. @throws StoreError */
export async function openMeshEvents(options: MeshEventsOptions): Promise<MeshEvents> {
  const { store, keyOf, host, onError, perNamespace: events = EVENT_LIMITS.events } = options;
  const ttlMs = (options.ttlSeconds ?? EVENT_LIMITS.ttlSeconds) * 1000;
  const keeper = new EventKeeper({ store, ttlMs, perNamespace: { events }, onError });
  await keeper.start();
  const recorder = new EventRecorder({ store, keyOf, host, ttlMs, onError });
  const record = (occurrence: Occurrence) => recorder.record(occurrence);
  return {
    taker: takerOf(record),
    onCondition: (resource, { status, reason, message }) =>
      record({ about: referenceTo(resource), type: status === 'True' ? 'Normal' : 'Warning', reason, message }),
    async stop() {
      await recorder.close();
      await keeper.stop();
    },
  };
}

const ENTRY = { apiVersion: 'networking.istio.io/v1', kind: 'WorkloadEntry' };
const GROUP = { apiVersion: 'networking.istio.io/v1', kind: 'WorkloadGroup' };
/** Of what concerns the whole mesh. Events of objects without a namespace are in `default`, as in Kubernetes. */
const MESH: ObjectReference = { apiVersion: 'v1', kind: 'Namespace', name: 'istio-system' };

const REGISTRATIONS = {
  created: ['Normal', 'WorkloadJoined', 'a machine was registered'],
  updated: ['Normal', 'WorkloadReturned', 'its machine was registered again'],
  disconnected: ['Normal', 'WorkloadDisconnected', 'its machine left; the entry goes after the grace time'],
  deleted: ['Normal', 'WorkloadLeft', 'its machine is no longer registered'],
  conflict: ['Warning', 'AddressConflict', 'another machine claims its address and was refused'],
  label: ['Warning', 'LabelLeftOut', 'a machine was registered without a label'],
  error: ['Warning', 'RegistrationFailed', 'a machine was not registered'],
} as const;

const ROTATIONS = {
  announced: ['RootAnnounced', 'a new root is distributed; it issues once every connected proxy has it'],
  issuing: ['RootIssuing', 'the new root issues; the old one stays trusted until its certificates have expired'],
  retired: ['RootRetired', 'the old root is not trusted any more'],
} as const;

function takerOf(record: (occurrence: Occurrence) => void): Partial<ControlEvents> {
  return {
    rejected: ({ node, type, reason }) =>
      record({ about: proxyOf(node), type: 'Warning', reason: 'ConfigRejected', message: `${type}: ${reason}` }),
    joined: ({ identity, group, by }) => {
      const account = accountOf(identity);
      const about = group === undefined ? account : { ...GROUP, ...named(group, account?.namespace) };
      if (about) record({ about, type: 'Normal', reason: 'MachineJoined', message: `${identity} joined by ${by}` });
    },
    issued({ identity, proof, document }) {
      const about = document === 'X.509-SVID' ? accountOf(identity) : undefined;
      if (about)
        record({ about, type: 'Normal', reason: 'CertificateIssued', message: `${document} issued by ${proof}` });
    },
    registration({ what, entry, reason }) {
      const [type, word, says] = REGISTRATIONS[what];
      const about = what === 'label' ? proxyOf(entry) : { ...ENTRY, ...named(entry, undefined) };
      record({ about, type, reason: word, message: reason === undefined ? says : `${says}: ${reason}` });
    },
    workloadHealth({ namespace, name, healthy, message }) {
      const reason = healthy ? 'WorkloadHealthy' : 'WorkloadUnhealthy';
      record({ about: { ...ENTRY, namespace, name }, type: healthy ? 'Normal' : 'Warning', reason, message });
    },
    rotated({ phase }) {
      const [reason, message] = ROTATIONS[phase];
      record({ about: MESH, type: 'Normal', reason, message });
    },
  };
}

function referenceTo({ apiVersion, kind, metadata }: Resource): ObjectReference {
  const { namespace, name, uid, resourceVersion } = metadata;
  return { apiVersion, kind, name, uid, resourceVersion, ...(namespace && { namespace }) };
}

/** A proxy is no resource: its events have the name and namespace of its node id, `type~ip~name.namespace~domain`. */
export function proxyOf(nodeId: string): ObjectReference {
  const [, , workload = ''] = nodeId.split('~');
  const dot = workload.lastIndexOf('.');
  return dot < 0
    ? { kind: 'Proxy', name: workload || nodeId }
    : { kind: 'Proxy', namespace: workload.slice(dot + 1), name: workload.slice(0, dot) };
}

/** `namespace/name`, or a name. */
function named(text: string, otherwise: string | undefined): { namespace: string; name: string } {
  const slash = text.indexOf('/');
  return slash < 0
    ? { namespace: otherwise ?? 'default', name: text }
    : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** `spiffe://domain/ns/NAMESPACE/sa/NAME` */
function accountOf(identity: string): ObjectReference | undefined {
  const [, namespace, name] = /\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(identity) ?? [];
  return namespace && name ? { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name } : undefined;
}
