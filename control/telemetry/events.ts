/** What happens in a control plane: the log and the metrics are made from it. Nothing here holds a secret. */
import type { ResourceType } from '../../shared/xds/discovery.ts';

export interface ControlEvents {
  /** A request was answered. `reason`: why it was refused. */
  answered(event: {
    readonly method: string;
    readonly path: string;
    readonly status: number;
    /** SPIFFE id, `admin` or `anonymous`. */
    readonly caller: string;
    readonly isUser: boolean;
    readonly address: string | undefined;
    /** Nothing was to be written. */
    readonly dryRun: boolean;
    readonly reason: string | undefined;
  }): void;
  /** A request was refused with 429: too many of one user, workload or address. */
  limited(event: { readonly limit: 'in-flight' | 'watches' | 'rate' | 'failed-tokens' }): void;
  /** A certificate was requested; `refused` or `issued` follows. */
  requested(): void;
  issued(event: {
    readonly identity: string;
    /** `join token`, `certificate`, `expired certificate`, `JWT-SVID`, or the kind of evidence that a machine joined with. */
    readonly proof: string;
    readonly document: 'X.509-SVID' | 'JWT-SVID';
    /** Milliseconds since the epoch. */
    readonly expires: number;
  }): void;
  /** A machine joined. `by`: what it was allowed by, as `token 0123456789abcdef`. */
  joined(event: {
    readonly identity: string;
    readonly group: string | undefined;
    readonly by: string;
    readonly address: string;
  }): void;
  /** `limited`: nothing of the request was judged. */
  joinRefused(event: { readonly limited: boolean }): void;
  refused(event: { readonly cause: 'authentication' | 'csr'; readonly reason: string }): void;
  /** What became of the WorkloadEntry of a machine. `entry`: namespace and name; of an error perhaps of its group. */
  registration(event: {
    readonly what: 'created' | 'updated' | 'disconnected' | 'deleted' | 'conflict' | 'label' | 'error';
    readonly entry: string;
    readonly reason: string | undefined;
  }): void;
  /** A write was validated; `reason` when it was refused. */
  validated(event: {
    readonly group: string;
    readonly version: string;
    readonly resource: string;
    readonly reason: string | undefined;
  }): void;
  /** A proxy opened a session. */
  connected(event: { readonly node: string; readonly identity: string; readonly version: string }): void;
  /** The connection of a held poll was closed by the proxy. */
  disconnected(event: { readonly node: string; readonly identity: string }): void;
  pushed(event: { readonly node: string; readonly type: ResourceType; readonly resources: number }): void;
  /** A proxy refused resources (NACK). */
  rejected(event: { readonly node: string; readonly type: ResourceType; readonly reason: string }): void;
  /** The health of a WorkloadEntry has become another one. */
  workloadHealth(event: {
    readonly namespace: string;
    readonly name: string;
    readonly healthy: boolean;
    readonly message: string;
  }): void;
  /** A change of the mesh's root has come to a phase. */
  rotated(event: { readonly phase: 'announced' | 'issuing' | 'retired' }): void;
  /** Seconds from a change of the mesh to the answer that takes it to a proxy. */
  converged(seconds: number): void;
}

const NAMES = [
  'answered',
  'limited',
  'requested',
  'issued',
  'joined',
  'joinRefused',
  'refused',
  'registration',
  'validated',
  'connected',
  'disconnected',
  'pushed',
  'rejected',
  'workloadHealth',
  'rotated',
  'converged',
] as const satisfies readonly (keyof ControlEvents)[];

/** Hands each event to all of them. Without any, nothing is done. */
export function eventsTo(...takers: readonly Partial<ControlEvents>[]): ControlEvents {
  const all: Record<string, (event: never) => void> = {};
  for (const name of NAMES) {
    const take = takers.flatMap((taker) => {
      const method = taker[name] as ((event: never) => void) | undefined;
      return method ? [method] : [];
    });
    all[name] = (event) => {
      for (const each of take) each(event);
    };
  }
  return all as unknown as ControlEvents;
}
