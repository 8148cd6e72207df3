/** RouteAction -> ForwardAction: cluster choice, rewrites, timeouts, mirrors. Refuses what this proxy does not do. */
import { wireText } from '../../../shared/match/wire.ts';
import type { ClusterWeight, RouteAction } from '../../../shared/xds/route.ts';
import { ConfigError } from '../../config-error.ts';
import { compileHeaderEdit, type HeaderEdit, type Level } from '../../http/headers/compile-header-operations.ts';
import type { RequestContext } from '../../http/request/request-context.ts';
import type { CompiledMatch } from '../../http/routing/compile-route-match.ts';
import type { ClusterChoice, ForwardAction } from '../../http/routing/route-table.ts';
import { shareOf } from '../../http/routing/share.ts';
import type { Clock } from '../../runtime/runtime.ts';
import { compileHashPolicy } from './compile-hash-policy.ts';
import { compileRetry } from './compile-retry.ts';
import { compileRewrite } from './compile-rewrite.ts';
import { compileTimes } from './compile-timeouts.ts';

const CLUSTER_NOT_FOUND = { SERVICE_UNAVAILABLE: 503, NOT_FOUND: 404, INTERNAL_SERVER_ERROR: 500 } as const;

export interface HeaderScope {
  /** Route, virtual host, table. */
  levels: readonly Level[];
  mostSpecificWins: boolean;
  clock: Clock;
  /** Runs after the configured operations on a response. */
  finishResponse: HeaderEdit | undefined;
  /** The virtual host's, for routes that have none. */
  retryPolicy?: RouteAction['retryPolicy'];
  mirrors?: RouteAction['requestMirrorPolicies'];
}

export function compileForward(
  action: RouteAction,
  match: CompiledMatch,
  scope: HeaderScope,
  path: string,
): ForwardAction {
  const retryPolicy = action.retryPolicy ?? scope.retryPolicy;
  const upgrades = action.upgradeConfigs
    ?.filter((one) => one.enabled ?? true)
    .map((one) => one.upgradeType.toLowerCase());
  return {
    kind: 'forward',
    pick: compilePick(action, scope, path),
    ...compileTimes(action, retryPolicy),
    retry: compileRetry(retryPolicy, `${path}.retryPolicy`, action.hedgePolicy?.hedgeOnPerTryTimeout ?? false),
    highPriority: action.priority === 'HIGH',
    mirrors: (action.requestMirrorPolicies ?? scope.mirrors ?? []).map((mirror) => ({
      cluster: mirror.cluster,
      share: mirror.runtimeFraction ? shareOf(mirror.runtimeFraction.defaultValue) : 1,
      keepHost: mirror.disableShadowHostSuffixAppend ?? false,
    })),
    rewrite: compileRewrite(action, match, path),
    keepsHead: !changesHead(action, scope.levels),
    autoHost: action.autoHostRewrite ? { appendForwardedHost: action.appendXForwardedHost ?? false } : undefined,
    clusterNotFound: CLUSTER_NOT_FOUND[action.clusterNotFoundResponseCode ?? 'SERVICE_UNAVAILABLE'],
    upgrades: upgrades && new Set(upgrades),
    terminatesConnect: terminatesConnect(action.upgradeConfigs, `${path}.upgradeConfigs`),
    hash: compileHashPolicy(action.hashPolicy, `${path}.hashPolicy`),
  };
}

/** Whether the upstream may see another head than the filters. */
function changesHead(action: RouteAction, levels: readonly Level[]): boolean {
  const { prefixRewrite, regexRewrite, pathRewritePolicy } = action;
  const { hostRewriteLiteral, hostRewriteHeader, hostRewritePathRegex, autoHostRewrite } = action;
  const rewrites = [prefixRewrite, regexRewrite, pathRewritePolicy, hostRewriteLiteral, hostRewriteHeader];
  if ([...rewrites, hostRewritePathRegex, autoHostRewrite].some(Boolean)) return true;
  const clusters = action.weightedClusters?.clusters ?? [];
  if (clusters.some((one) => Boolean(one.hostRewriteLiteral))) return true;
  return [...clusters, ...levels.map(({ config }) => config)].some(
    ({ requestHeadersToAdd = [], requestHeadersToRemove = [] }) =>
      requestHeadersToAdd.length + requestHeadersToRemove.length > 0,
  );
}

function terminatesConnect(configs: RouteAction['upgradeConfigs'], path: string): boolean {
  let found = false;
  for (const [i, one] of (configs ?? []).entries()) {
    if (!one.connectConfig) continue;
    if (one.upgradeType.toLowerCase() !== 'connect')
      throw new ConfigError(`${path}[${i}].connectConfig`, 'is for upgradeType CONNECT alone');
    if (one.connectConfig.allowPost) throw new ConfigError(`${path}[${i}].connectConfig.allowPost`, 'is not supported');
    found = true;
  }
  return found;
}

function compilePick(action: RouteAction, scope: HeaderScope, path: string): ForwardAction['pick'] {
  const { cluster, clusterHeader, weightedClusters } = action;
  if ([cluster, clusterHeader, weightedClusters].filter((one) => one !== undefined).length !== 1)
    throw new ConfigError(path, 'must have exactly one of cluster, clusterHeader, weightedClusters');
  if (weightedClusters) return compileWeighted(action, scope, `${path}.weightedClusters`);
  const edits = compileEdits(scope, []);
  if (cluster !== undefined) {
    const only: ClusterChoice = { cluster, ...edits };
    return () => only;
  }
  const key = clusterHeader!.toLowerCase();
  return (request) => ({ cluster: request.headers.get(key) ?? '', ...edits });
}

function compileWeighted(action: RouteAction, scope: HeaderScope, path: string): ForwardAction['pick'] {
  const { choices, indexAt } = compileWeights(action, scope, path);
  return (_, random) => choices[indexAt(random)]!;
}

export interface Weights {
  readonly choices: readonly ClusterChoice[];
  /** @param random [0, 1). @returns the position of the cluster it falls to */
  indexAt(random: number): number;
}

/** @param path of the weighted clusters. Throws ConfigError. */
export function compileWeights(action: RouteAction, scope: HeaderScope, path: string): Weights {
  const clusters: readonly ClusterWeight[] = action.weightedClusters?.clusters ?? [];
  const choices = clusters.map((one, i): ClusterChoice => {
    const at = `${path}.clusters[${i}]`;
    if (!one.name) throw new ConfigError(`${at}.name`, 'is required');
    const edits = compileEdits(scope, [{ path: at, config: one, weighted: true }]);
    const host = wireText(one.hostRewriteLiteral ?? '');
    if (host === '') return { cluster: one.name, ...edits };
    const editRequest = (request: RequestContext) => {
      edits.editRequest(request);
      request.authority = host;
    };
    return { cluster: one.name, editResponse: edits.editResponse, editRequest };
  });
  const ends: number[] = [];
  let total = 0;
  for (const one of clusters) ends.push((total += one.weight ?? 0));
  if (total === 0) throw new ConfigError(path, 'the weights must not sum to 0');
  const given = action.weightedClusters?.totalWeight ?? 0;
  if (given > 0 && given !== total)
    throw new ConfigError(`${path}.totalWeight`, `must be the sum of the weights, ${total}`);
  return {
    choices,
    indexAt: (random) => {
      const point = random * total;
      for (let i = 0; i < ends.length; i++) if (point < ends[i]!) return i;
      return ends.length - 1;
    },
  };
}

function compileEdits(scope: HeaderScope, own: readonly Level[]): Pick<ClusterChoice, 'editRequest' | 'editResponse'> {
  const levels = [...own, ...scope.levels];
  const request = compileHeaderEdit('request', levels, scope.mostSpecificWins, scope.clock);
  return { editRequest: (context) => request(context, context.headers), editResponse: compileResponseEdit(scope, own) };
}

export function compileResponseEdit(scope: HeaderScope, own: readonly Level[] = []): HeaderEdit {
  const edit = compileHeaderEdit('response', [...own, ...scope.levels], scope.mostSpecificWins, scope.clock);
  const { finishResponse } = scope;
  if (!finishResponse) return edit;
  return (request, headers) => {
    edit(request, headers);
    finishResponse(request, headers);
  };
}
