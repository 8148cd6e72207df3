/** The filters of plugins: which listeners have them, and what a proxy is given. */
import type { Wasm } from '../../../shared/resources/schema/traffic-extension.ts';
import type { PluginConfig } from '../../../shared/xds/filters/wasm.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { namespaceOf, selects } from '../../mesh/fields.ts';
import { sharedList } from '../memo.ts';
import { type LocalWorkload, workloadsAt } from '../scope/workloads.ts';
import { targetedOf } from '../security/authorization.ts';
import { judgeTargets } from '../security/authorization-targets.ts';
import type { PlacedFilters } from '../sidecar/filter-places.ts';
import { httpFilter, networkFilter } from '../wire.ts';
import type { Phase, Plugin } from './plugin.ts';

/** Which direction of a proxy a listener serves: what `match[].mode` chooses. A gateway calls. */
export type TrafficSide = 'SERVER' | 'CLIENT';

export interface PluginFilters {
  readonly http: PlacedFilters;
  /** Of plugins of type NETWORK: in front of the authorization of connections, and behind it. */
  readonly beforeAuthorization: readonly NetworkFilter[];
  readonly afterAuthorization: readonly NetworkFilter[];
}

const NONE: PluginFilters = { http: {}, beforeAuthorization: [], afterAuthorization: [] };

/** Those of the plugins that select one of the workloads: the same list for the same plugins. */
export function pluginsFor(
  plugins: readonly Plugin[],
  workloads: readonly LocalWorkload[],
  rootNamespace: string,
  note: (message: string) => void = () => {},
): readonly Plugin[] {
  return sharedList(
    plugins.filter((plugin) => workloads.some((workload) => applies(plugin, workload, rootNamespace, note))),
  );
}

function applies(
  { resource, labels, targets }: Plugin,
  workload: LocalWorkload,
  rootNamespace: string,
  note: (message: string) => void,
): boolean {
  if (targets.length === 0) return labels === undefined || selects(labels, workload.labels);
  const verdict = judgeTargets(targets, resource, targetedOf(workload), rootNamespace);
  if (typeof verdict === 'object')
    note(`${resource.kind} ${namespaceOf(resource)}/${resource.metadata.name}: ${verdict.unsupported}: it is left out`);
  return verdict === 'applies';
}

/** The filters of a port that workloads serve; where it belongs to several workloads, those of each. */
export function inboundPlugins(
  plugins: readonly Plugin[],
  workloads: readonly LocalWorkload[],
  rootNamespace: string,
  note: (message: string) => void,
): (port: number) => PluginFilters {
  if (plugins.length === 0) return () => NONE;
  return (port) =>
    pluginFilters(pluginsFor(plugins, workloadsAt(workloads, port), rootNamespace, note), 'SERVER', [port]);
}

/** @param ports that the listener serves: a plugin for one of them sees all that the listener does */
export function pluginFilters(plugins: readonly Plugin[], side: TrafficSide, ports: readonly number[]): PluginFilters {
  const here = plugins.filter((plugin) => matches(plugin, side, ports));
  if (here.length === 0) return NONE;
  const phases = (...wanted: Phase[]) =>
    wanted.flatMap((phase) => here.filter((plugin) => plugin.phase === phase && isNetwork(plugin)).map(networkWasm));
  const placed = Map.groupBy(
    here.filter((plugin) => !isNetwork(plugin)),
    ({ phase }) => phase,
  );
  return {
    http: Object.fromEntries([...placed].map(([phase, some]) => [phase, some.map(httpWasm)])),
    beforeAuthorization: phases('AUTHN', 'AUTHZ'),
    afterAuthorization: phases('STATS', 'UNSPECIFIED_PHASE'),
  };
}

function matches({ match }: Plugin, side: TrafficSide, ports: readonly number[]): boolean {
  if (match.length === 0) return true;
  return match.some(({ mode = 'UNDEFINED', ports: wanted = [] }) => {
    const meant = mode === 'UNDEFINED' || mode === 'CLIENT_AND_SERVER' || mode === side;
    return meant && (wanted.length === 0 || wanted.some(({ number }) => ports.includes(number)));
  });
}

const isNetwork = ({ wasm }: Plugin): boolean => wasm.type === 'NETWORK';

function httpWasm(plugin: Plugin): HttpFilter {
  return httpFilter(plugin.filterName, 'envoy.extensions.filters.http.wasm.v3.Wasm', { config: pluginConfig(plugin) });
}

function networkWasm(plugin: Plugin): NetworkFilter {
  const type = 'envoy.extensions.filters.network.wasm.v3.Wasm';
  return networkFilter(plugin.filterName, type, { config: pluginConfig(plugin) });
}

const FAILURE_POLICY = { FAIL_OPEN: 'FAIL_OPEN', FAIL_CLOSE: 'FAIL_CLOSED', FAIL_RELOAD: 'FAIL_RELOAD' } as const;

/** As Istio's control plane writes it (trafficextension.go). */
function pluginConfig({ resource, wasm }: Plugin): PluginConfig {
  const { pluginName, pluginConfig: config, failStrategy = 'FAIL_CLOSE' } = wasm;
  const hasConfig = config !== undefined && Object.keys(config).length > 0;
  return {
    name: `${namespaceOf(resource)}.${resource.metadata.name}`,
    ...(pluginName && { rootId: pluginName }),
    ...(hasConfig && {
      configuration: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: JSON.stringify(config) },
    }),
    vmConfig: { runtime: 'envoy.wasm.runtime.v8', code: codeOf(wasm), ...environmentOf(wasm) },
    failurePolicy: FAILURE_POLICY[failStrategy],
  };
}

/** Istio's agents fetch modules, so that no cluster of this name is needed; an Envoy without one cannot fetch. */
const FETCHED_BY_AGENT = '_';
/** In the place of a checksum: none is known. */
const NO_CHECKSUM = 'nil';

function codeOf({ url, sha256 }: Wasm): NonNullable<NonNullable<PluginConfig['vmConfig']>['code']> {
  if (url.startsWith('file://')) return { local: { filename: url.slice('file://'.length) } };
  const uri = url.includes('://') ? url : `oci://${url}`;
  return {
    remote: { httpUri: { uri, cluster: FETCHED_BY_AGENT, timeout: '30s' }, sha256: sha256 || NO_CHECKSUM },
  };
}

function environmentOf({ vmConfig }: Wasm): Pick<NonNullable<PluginConfig['vmConfig']>, 'environmentVariables'> {
  const env = vmConfig?.env ?? [];
  if (env.length === 0) return {};
  const inline = env.filter(({ valueFrom }) => valueFrom !== 'HOST');
  const host = env.filter(({ valueFrom }) => valueFrom === 'HOST');
  return {
    environmentVariables: {
      ...(host.length > 0 && { hostEnvKeys: host.map(({ name }) => name) }),
      ...(inline.length > 0 && {
        keyValues: Object.fromEntries(inline.map(({ name, value = '' }) => [name, value])),
      }),
    },
  };
}
