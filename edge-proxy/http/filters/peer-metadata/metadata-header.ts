/**
 * The value of x-envoy-peer-metadata: base64 of a protobuf Struct, as Istio's peer_metadata filter and its predecessors write
 * and read it (envoyproxy/envoy contrib/istio/filters/common, `convertStructToWorkloadMetadata`).
 */
import { UNKNOWN_WORKLOAD, type WorkloadMetadata } from '../../../upstream/workload-metadata.ts';
import { decodeStruct, encodeStruct, type StructFields } from './struct.ts';

/** Characters of a value that is read: Istio's have some 400, and 3000 where old versions send all node metadata. */
const MAX_HEADER = 8192;
/** Of a field: names of Kubernetes have 253. */
const MAX_FIELD = 253;
const OWNER_TYPES: ReadonlySet<string> = new Set(['deployment', 'pod', 'job', 'cronjob']);

export function encodeMetadata(of: WorkloadMetadata): string {
  const labels = withoutEmpty({
    app: of.app,
    version: of.version,
    'service.istio.io/canonical-name': of.service,
    'service.istio.io/canonical-revision': of.revision,
  });
  const fields = withoutEmpty({
    NAME: of.name,
    NAMESPACE: of.namespace,
    WORKLOAD_NAME: of.workload,
    CLUSTER_ID: of.cluster,
    OWNER: of.type && `kubernetes://apis/apps/v1/namespaces/${of.namespace}/${of.type}s/${of.workload}`,
    REGION: of.region,
    AVAILABILITY_ZONE: of.availabilityZone,
  });
  return btoa(String.fromCharCode(...encodeStruct({ ...fields, LABELS: labels })));
}

function withoutEmpty(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

/** @returns undefined where it cannot be read, is too long, or has a field that is no name */
export function decodeMetadata(value: string): WorkloadMetadata | undefined {
  if (value.length > MAX_HEADER) return undefined;
  try {
    return metadataOf(decodeStruct(bytesOf(atob(value))));
  } catch {
    return undefined;
  }
}

function bytesOf(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** @throws Error naming a field that is no name */
function metadataOf(fields: StructFields): WorkloadMetadata {
  const held = fields.get('LABELS');
  const labels: ReadonlyMap<string, string> = held instanceof Map ? held : new Map();
  const text = (name: string) => {
    const value = fields.get(name);
    return typeof value === 'string' ? nameIn(name, value) : '';
  };
  const label = (...names: string[]) => {
    const name = names.find((one) => labels.has(one));
    return name === undefined ? '' : nameIn(name, labels.get(name)!);
  };
  const workload = text('WORKLOAD_NAME');
  return {
    ...UNKNOWN_WORKLOAD,
    name: text('NAME'),
    namespace: text('NAMESPACE'),
    workload,
    cluster: text('CLUSTER_ID'),
    service: label('service.istio.io/canonical-name'),
    revision: label('service.istio.io/canonical-revision'),
    app: label('app.kubernetes.io/name', 'app'),
    version: label('app.kubernetes.io/version', 'version'),
    type: ownerType(fields.get('OWNER'), workload),
    region: text('REGION'),
    availabilityZone: text('AVAILABILITY_ZONE'),
  };
}

/** What becomes a metric's label or part of a log line is printable and short. */
function nameIn(field: string, value: string): string {
  if (value.length > MAX_FIELD || /[^\x20-\x7e]/.test(value)) throw new Error(`${field} is no name`);
  return value;
}

/** `kubernetes://apis/apps/v1/namespaces/shop/deployments/front-v1` of the workload front-v1: `deployment`. */
function ownerType(owner: unknown, workload: string): string {
  if (typeof owner !== 'string' || workload === '' || !owner.endsWith(`s/${workload}`)) return '';
  const rest = owner.slice(0, -(workload.length + 2));
  const type = rest.slice(rest.lastIndexOf('/') + 1);
  return OWNER_TYPES.has(type) ? type : '';
}
