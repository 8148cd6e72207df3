/**
 * Compiled resources as a stock Envoy takes them: without filters that only Istio's build of Envoy has, and with the sources of
 * the workload's own certificate in the place of ADS, which sends no keys of workloads. Each resource is encoded once for all
 * clients of one form.
 */
import type { ConfigSource, Node } from '../../shared/xds/core.ts';
import { type ResourceType, rowOf, TYPE_URLS } from '../../shared/xds/discovery.ts';
import type { RouteConfiguration, VirtualHost } from '../../shared/xds/route.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import type { NodeMetadata } from '../compile/scope/node-metadata.ts';
import { DiscoveryError } from '../discovery/discovery-error.ts';
import { toBytes } from '../envoy-api/envoy-api.ts';
import { field, type Parts } from '../envoy-api/wire.ts';

/** The secrets of the workload itself: its certificate, and the roots of the mesh. */
const OWN_SECRETS: ReadonlySet<unknown> = new Set(['default', 'ROOTCA']);

/** The cluster of a bootstrap that leads to an SDS server beside Envoy, by Istio's name. */
export const SDS_CLUSTER = 'sds-grpc';

/** Where clients of a form find an own secret; all else comes by the stream that the resource came by (ADS). */
export interface Sources {
  readonly ofSecret: (name: string) => ConfigSource;
}

const SDS_SERVER: ConfigSource = {
  apiConfigSource: {
    apiType: 'GRPC',
    transportApiVersion: 'V3',
    setNodeOnFirstMessageOnly: true,
    grpcServices: [{ envoyGrpc: { clusterName: SDS_CLUSTER } }],
  },
  initialFetchTimeout: '0s',
  resourceApiVersion: 'V3',
} as ConfigSource;

const fromFiles = (folder: string) => (name: string) =>
  ({ pathConfigSource: { path: `${folder}/${name}.json` }, resourceApiVersion: 'V3' }) as ConfigSource;

/** So many forms are kept for several clients; resources of any other are encoded for each of its clients. */
const MOST_FORMS = 16;
const forms = new Map<string, WeakRef<ResourceForm>>();

/**
 * The form that a node is sent. SDS_FILES of its metadata is the folder in which Envoy finds `default.json` and `ROOTCA.json`;
 * without it they come from the SDS server of its bootstrap.
 * @throws DiscoveryError invalid
 */
export function formOf({ metadata = {} }: Node): ResourceForm {
  const { SDS_FILES: folder = '' }: NodeMetadata = metadata;
  if (typeof folder !== 'string' || !/^(\/.{0,1000})?$/.test(folder))
    throw new DiscoveryError('invalid', 'node.metadata.SDS_FILES: must be an absolute path of at most 1000 characters');
  return kept(folder, { ofSecret: folder === '' ? () => SDS_SERVER : fromFiles(folder.replace(/\/+$/, '')) });
}

function kept(key: string, sources: Sources): ResourceForm {
  const known = forms.get(key)?.deref();
  if (known) return known;
  const made = new ResourceForm(sources);
  for (const [other, form] of forms) if (!form.deref()) forms.delete(other);
  if (forms.size < MOST_FORMS) forms.set(key, new WeakRef(made));
  return made;
}

export class ResourceForm {
  private readonly sources: Sources;
  private readonly encoded = new WeakMap<object, Uint8Array>();

  constructor(sources: Sources) {
    this.sources = sources;
  }

  /**
   * As google.protobuf.Any, in parts.
   * @throws EnvoyApiError naming what Envoy's API does not have
   */
  any(shared: SharedResource): Parts {
    const url = TYPE_URLS[shared.type];
    return [...field(1, [Buffer.from(url)]), ...field(2, this.message(shared))];
  }

  private message({ type, resource }: SharedResource): Parts {
    // Private keys are not kept in a second form.
    if (rowOf(type).confidential) return [this.bytes(type, resource)];
    if (type === 'routes') return this.routes(resource as RouteConfiguration);
    return [this.once(resource, () => this.bytes(type, resource))];
  }

  /** Virtual hosts are encoded once each: a change of one is a change of its configuration. */
  private routes(resource: RouteConfiguration): Parts {
    const { virtualHosts = [], ...rest } = resource;
    const own = this.once(resource, () => this.bytes('routes', rest));
    const host = (each: VirtualHost) => this.once(each, () => this.bytes('virtualHosts', each));
    return [own, ...virtualHosts.flatMap((each) => field(2, [host(each)]))];
  }

  private once(of: object, encode: () => Uint8Array): Uint8Array {
    let bytes = this.encoded.get(of);
    if (!bytes) this.encoded.set(of, (bytes = encode()));
    return bytes;
  }

  private bytes(type: ResourceType, resource: object): Uint8Array {
    return toBytes(TYPE_URLS[type].slice(TYPE_URLS[type].indexOf('/') + 1), this.rewritten(type, resource));
  }

  private rewritten(type: ResourceType, resource: object): object {
    // Endpoints, the most of all resources, name no sources and have no filters.
    return type === 'endpoints' ? resource : (rewrite(resource, this.sources) as object);
  }
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

function rewrite(value: unknown, sources: Sources): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isOfIstiosBuild(item)).map((item) => rewrite(item, sources));
  if (!isObject(value)) return value;
  const out: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value))
    out[key] =
      key === 'sdsConfig' && OWN_SECRETS.has(value['name'])
        ? sources.ofSecret(String(value['name']))
        : rewrite(inner, sources);
  return out;
}

/** Filters that only Istio's build has, which Envoy may leave out: statistics, and metadata of peers. */
const isOfIstiosBuild = (value: unknown): boolean =>
  isObject(value) && value['isOptional'] === true && String(value['name']).startsWith('istio.');
