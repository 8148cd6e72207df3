/** Which endpoint an attempt of one request is sent to: the load balancer's choice, or the one that the request names. */

import type { Hash64 } from '../../upstream/balancing/xx-hash.ts';
import type { AcceptedEnds, Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { RetryPlan } from '../routing/retry-plan.ts';
import type { ForwardAction } from '../routing/route-table.ts';

export class EndpointChoice {
  private readonly cluster: Cluster;
  /** The name that the peer must have is the route's, whatever an endpoint makes of the host. */
  private readonly tlsAuthority: string;
  /** The connection that the request came on. */
  private readonly client: AcceptedEnds;
  private readonly hash: Hash64 | undefined;
  /** Set-Cookie of the hash policy, for the response. */
  private cookies: string[] | undefined = undefined;
  private located: Endpoint | undefined = undefined;

  /** @param request with the head that goes upstream */
  constructor(cluster: Cluster, request: ProxyRequest, hash: ForwardAction['hash']) {
    this.cluster = cluster;
    this.tlsAuthority = request.authority;
    this.client = request.downstream;
    this.hash = hash === undefined ? undefined : hash(request, (value) => this.addCookie(value));
  }

  private addCookie(value: string): void {
    this.cookies ??= [];
    this.cookies.push(value);
  }

  /** The cluster has no endpoints of its own: each request names one. */
  get named(): boolean {
    return this.cluster.resolveDestination !== undefined;
  }

  /** Starts the look-up of the endpoint that the request names; undefined: it names none, and must be answered. */
  locate({ authority, headers }: ProxyRequest): Located | Promise<Located> {
    return this.cluster.resolveDestination?.(authority, headers, this.client);
  }

  /** All attempts go to this endpoint. */
  pin(endpoint: Endpoint): void {
    this.located = endpoint;
  }

  /**
   * @param before the endpoints of earlier attempts
   * @param hosts what the retry policy says about them
   * @returns undefined: no endpoint is healthy
   */
  pick(before: readonly Endpoint[] | undefined, hosts: RetryPlan['hosts'] | undefined): Endpoint | undefined {
    const { cluster } = this;
    const picked = this.located ?? cluster.pick(this.hash, before, hosts);
    if (picked === undefined || (cluster.secured === undefined && cluster.forClient === undefined)) return picked;
    const secured = cluster.secured?.(picked, this.tlsAuthority) ?? picked;
    return cluster.forClient?.(secured, this.client) ?? secured;
  }

  /** Adds the cookies with which the client's next request gets the same hash. */
  setCookies(response: HeaderMap): void {
    const { cookies } = this;
    if (cookies === undefined) return;
    for (const value of cookies) response.append('set-cookie', value, 'set-cookie');
  }
}
