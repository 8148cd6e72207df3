/**
 * Envoy's counters of gRPC calls by cluster, `cluster.<name>.grpc.<service>.<method>.…` (envoyproxy.io: gRPC statistics
 * filter; Grpc::Context). Those of messages are found once for each cluster and method.
 */
import type { Cluster } from '../../upstream/cluster.ts';

interface Counter {
  value: number;
}

/** Where counters of clusters and of connection managers are kept. */
export interface ClusterCounters {
  /** @param name behind the cluster's; the same names give the same counter */
  counter(cluster: string, name: string): Counter;
  /** @param name behind the manager's */
  ofManager?(statPrefix: string, name: string): Counter;
}

export interface MessageStats {
  readonly requests: Counter;
  readonly responses: Counter;
}

interface MethodCounters {
  messages?: MessageStats;
  /** `total`, `success`, `failure` and statuses, each once it was counted. */
  readonly ends: Map<string, Counter>;
}

/** Methods that are counted by name, of each filter: clients choose names. Further ones are counted together. */
const MAX_METHODS = 1000;

/** `/package.Service/Method` of a path; undefined: it names no method. */
export function methodOf(path: string): { service: string; method: string } | undefined {
  const question = path.indexOf('?');
  const parts = (question < 0 ? path : path.slice(0, question)).split('/').filter((part) => part !== '');
  return parts.length === 2 ? { service: parts[0]!, method: parts[1]! } : undefined;
}

export class GrpcMethodStats {
  private readonly counters: ClusterCounters | undefined;
  private readonly protocol: string;
  private readonly methods = new Set<string>();
  private readonly known = new WeakMap<Cluster, Map<string, MethodCounters>>();

  /** @param counters undefined: nothing reads them */
  constructor(counters: ClusterCounters | undefined, protocol: 'grpc' | 'grpc-web') {
    this.counters = counters;
    this.protocol = protocol;
  }

  /** What counters of a method are called by; '' once there are too many. */
  nameOf({ service, method }: { service: string; method: string }): string {
    const name = `${service}.${method}.`;
    if (this.methods.has(name)) return name;
    if (this.methods.size >= MAX_METHODS) return '';
    this.methods.add(name);
    return name;
  }

  /** @param method of `nameOf`, or '' */
  messagesOf(cluster: Cluster, method: string): MessageStats {
    const counters = this.countersOf(cluster, method);
    counters.messages ??= {
      requests: this.counter(cluster, method, 'request_message_count'),
      responses: this.counter(cluster, method, 'response_message_count'),
    };
    return counters.messages;
  }

  /** A call has ended. @param status its grpc-status as it came; one that is no number is counted as -1 */
  end(cluster: Cluster, method: string, status: string): void {
    const { ends } = this.countersOf(cluster, method);
    const count = (what: string) => {
      let counter = ends.get(what);
      if (!counter) ends.set(what, (counter = this.counter(cluster, method, what)));
      counter.value++;
    };
    count(/^\d{1,3}$/.test(status) ? status : '-1');
    count(status === '0' ? 'success' : 'failure');
    count('total');
  }

  private countersOf(cluster: Cluster, method: string): MethodCounters {
    let byMethod = this.known.get(cluster);
    if (!byMethod) this.known.set(cluster, (byMethod = new Map()));
    let counters = byMethod.get(method);
    if (!counters) byMethod.set(method, (counters = { ends: new Map() }));
    return counters;
  }

  private counter({ name }: Cluster, method: string, what: string): Counter {
    return this.counters?.counter(name, `${this.protocol}.${method}${what}`) ?? { value: 0 };
  }
}
