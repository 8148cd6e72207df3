/** One entry of `spec.configPatches`, read: what it applies to, and Envoy's message that it holds. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { ConfigPatchMatch, ConfigPatch as Written } from '../../../shared/resources/schema/envoy-filter.ts';
import { strictJson } from '../../envoy-api/strict-json.ts';
import { specOf } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import type { Fields } from './merge.ts';

export type EnvoyFilter = ResourceOfKind<'EnvoyFilter'>;
export type ApplyTo = Exclude<NonNullable<Written['applyTo']>, 'INVALID'>;
export type Operation = Exclude<NonNullable<NonNullable<Written['patch']>['operation']>, 'INVALID'>;

export interface ConfigPatch {
  readonly owner: EnvoyFilter;
  /** `spec.configPatches[0]` */
  readonly path: string;
  readonly applyTo: ApplyTo;
  readonly match: ConfigPatchMatch;
  readonly operation: Operation;
  /** In the canonical JSON form; {} with REMOVE. */
  readonly value: Fields;
  /** The configuration that takes the place of that of a matching filter, whatever `value` says. */
  readonly replacement?: Fields;
  /** Why the configuration of its filter cannot be read. */
  readonly unreadable?: string;
}

/** The message of which a patch holds a part or the whole. BOOTSTRAP is no part of discovery. */
export const MESSAGES: { readonly [T in ApplyTo]: string } = {
  LISTENER: 'envoy.config.listener.v3.Listener',
  FILTER_CHAIN: 'envoy.config.listener.v3.FilterChain',
  NETWORK_FILTER: 'envoy.config.listener.v3.Filter',
  LISTENER_FILTER: 'envoy.config.listener.v3.ListenerFilter',
  HTTP_FILTER: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter',
  ROUTE_CONFIGURATION: 'envoy.config.route.v3.RouteConfiguration',
  VIRTUAL_HOST: 'envoy.config.route.v3.VirtualHost',
  HTTP_ROUTE: 'envoy.config.route.v3.Route',
  CLUSTER: 'envoy.config.cluster.v3.Cluster',
  EXTENSION_CONFIG: 'envoy.config.core.v3.TypedExtensionConfig',
  BOOTSTRAP: 'envoy.config.bootstrap.v3.Bootstrap',
};

/** What can be inserted at a place; elsewhere an INSERT_ is an ADD, as in Istio. */
const ORDERED: ReadonlySet<ApplyTo> = new Set(['LISTENER_FILTER', 'NETWORK_FILTER', 'HTTP_FILTER', 'HTTP_ROUTE']);

/** A patch that cannot be read. */
export interface UnreadPatch {
  readonly path: string;
  readonly message: string;
}

export interface ReadFilter {
  readonly patches: readonly ConfigPatch[];
  readonly unread: readonly UnreadPatch[];
}

/** The patches of an EnvoyFilter in their order; read once, when a proxy is first patched. */
export const readFilter: (resource: EnvoyFilter) => ReadFilter = (resource) => read({ resource });

const read = generator<{ resource: EnvoyFilter }, ReadFilter>({ resource: true } as never, ({ resource }) => {
  const unread: UnreadPatch[] = [];
  const patches = (specOf(resource).configPatches ?? []).flatMap((written, i): ConfigPatch[] => {
    const path = `spec.configPatches[${i}]`;
    try {
      return readPatch(resource, path, written);
    } catch (error) {
      const message = (error as Error).message;
      const closed = unreadFilter(resource, path, written, message);
      if (!closed) unread.push({ path, message });
      return closed ? [closed] : [];
    }
  });
  return { patches: sharedList(patches), unread };
});

/** A filter that cannot be read is one that cannot be run: it has no configuration, and the reason. */
function unreadFilter(owner: EnvoyFilter, path: string, written: Written, unreadable: string): ConfigPatch | undefined {
  const { applyTo, match = {}, patch } = written;
  const { operation, value } = patch ?? {};
  if (applyTo !== 'HTTP_FILTER' && applyTo !== 'NETWORK_FILTER') return undefined;
  if (!operation || operation === 'INVALID' || operation.startsWith('MERGE')) return undefined;
  const name = typeof value?.['name'] === 'string' ? value['name'] : '';
  return { owner, path, applyTo, match, operation, value: { name }, unreadable };
}

function readPatch(owner: EnvoyFilter, path: string, { applyTo, match = {}, patch }: Written): ConfigPatch[] {
  const { operation, value } = patch ?? {};
  if (!applyTo || applyTo === 'INVALID' || !operation || operation === 'INVALID') return [];
  const isInsert = operation.startsWith('INSERT_');
  return [
    {
      owner,
      path,
      applyTo,
      match,
      operation: isInsert && !ORDERED.has(applyTo) ? 'ADD' : operation,
      value: operation === 'REMOVE' ? {} : strictJson(MESSAGES[applyTo], value ?? {}),
    },
  ];
}
