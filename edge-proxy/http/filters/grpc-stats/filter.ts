/** envoy.filters.http.grpc_stats: counts calls, their statuses and their messages. */
import { MessageCounter } from '../../grpc/message-counter.ts';
import { isGrpcRequest, isGrpcResponse } from '../../grpc/status.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { GrpcMessages, RequestContext } from '../../request/request-context.ts';
import { type ClusterCounters, GrpcMethodStats, methodOf } from '../grpc-method-stats.ts';
import { type BodyWatch, type FilterHooks, StateSlot } from '../hooks.ts';
import { type GrpcStatsRules, methodKey } from './compile.ts';

export function createGrpcStatsFilter(rules: GrpcStatsRules, counters: ClusterCounters | undefined): FilterHooks {
  const stats = new GrpcMethodStats(counters, 'grpc');
  const slot = new StateSlot<GrpcCall>();
  return {
    onRequestHead: (context) => {
      const { request } = context;
      if (!isGrpcRequest(request.headers)) return undefined;
      const call = new GrpcCall(request, stats, nameOf(request.path, rules, stats));
      context.set(slot, call);
      context.watchBodies(call);
      if (rules.emits) request.grpcMessages = call;
      return undefined;
    },
    onEnd: (context) => context.get(slot)?.end(),
  };
}

/** @returns undefined: the path names no method, and the call is not counted */
function nameOf(path: string, { named, replacesDots }: GrpcStatsRules, stats: GrpcMethodStats): string | undefined {
  const names = methodOf(path);
  if (!names) return undefined;
  const { service, method } = names;
  if (named === 'all') return stats.nameOf({ service: replacesDots ? service.replaceAll('.', '_') : service, method });
  return named.has(methodKey(service, method)) ? stats.nameOf(names) : '';
}

class GrpcCall implements BodyWatch, GrpcMessages {
  private readonly of: RequestContext;
  private readonly stats: GrpcMethodStats;
  private readonly method: string | undefined;
  private readonly requests = new MessageCounter();
  private readonly responses = new MessageCounter();
  private countedRequests = 0;
  private countedResponses = 0;
  private isGrpcResponse = false;

  constructor(of: RequestContext, stats: GrpcMethodStats, method: string | undefined) {
    this.of = of;
    this.stats = stats;
    this.method = method;
  }

  get request(): number {
    return this.requests.count;
  }

  get response(): number {
    return this.responses.count;
  }

  onRequestData(bytes: Uint8Array): void {
    this.requests.take(bytes);
    if (this.requests.count > this.countedRequests) this.count();
  }

  onResponseHead(status: number, headers: HeaderMap, end: boolean): void {
    this.isGrpcResponse = isGrpcResponse(status, headers, end);
  }

  onResponseData(bytes: Uint8Array): void {
    if (!this.isGrpcResponse) return;
    this.responses.take(bytes);
    if (this.responses.count > this.countedResponses) this.count();
  }

  /** Without a cluster yet, the messages are counted with later ones. */
  private count(): void {
    const { cluster } = this.of;
    if (this.method === undefined || cluster === undefined) return;
    const messages = this.stats.messagesOf(cluster, this.method);
    messages.requests.value += this.requests.count - this.countedRequests;
    messages.responses.value += this.responses.count - this.countedResponses;
    this.countedRequests = this.requests.count;
    this.countedResponses = this.responses.count;
  }

  end(): void {
    const { cluster, responseHeaders, responseTrailers } = this.of;
    if (this.method === undefined || cluster === undefined) return;
    if (this.requests.count > this.countedRequests) this.count();
    const status = responseTrailers?.get('grpc-status') ?? responseHeaders?.get('grpc-status');
    if (status !== undefined) this.stats.end(cluster, this.method, status);
  }
}
