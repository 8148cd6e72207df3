/** The peers of connections: who they are by certificate, and what describes them by their headers or by discovery. */
import { parseWorkloadId } from '../../../../shared/identity/spiffe.ts';
import type { Peer, WorkloadLookup } from '../../../upstream/workload-metadata.ts';
import { decodeMetadata } from './metadata-header.ts';

/** Peers that are remembered: as many as Istio's filter remembers. */
const MAX_PEERS = 500;

interface LastOf {
  readonly value: string;
  readonly peer: Peer | undefined;
}

/**
 * A peer's metadata is used only where its certificate was verified, holds the SPIFFE id of a workload, and this names the
 * namespace that the metadata claims: nothing else in the metadata can be checked, so a workload can misname itself
 * within its own namespace alone.
 *
 * A value is decoded once for each identity that sends it, and the same peer is the same object: metrics use it as a key.
 */
export class Peers {
  private readonly workloads: WorkloadLookup | undefined;
  private readonly known = new Map<string, Peer | undefined>();
  /** Every request of a connection has the same value: comparing it costs less than a look-up by it. */
  private readonly last = new WeakMap<object, LastOf>();
  /** Of connections; '' where the certificate names none. */
  private readonly namespaces = new WeakMap<object, string>();

  /** @param workloads undefined: those that send no metadata are not looked up */
  constructor(workloads: WorkloadLookup | undefined) {
    this.workloads = workloads;
  }

  /**
   * The peer that sent metadata in a header.
   * @param connection the same object for every message of a connection
   * @param uris the verified URI names of its certificate
   */
  bySent(connection: object, uris: readonly string[], value: string): Peer | undefined {
    const last = this.last.get(connection);
    if (last?.value === value) return last.peer;
    const principal = spiffeIdOf(uris);
    if (principal === undefined) return undefined;
    const key = `${principal}\u0000${value}`;
    let peer = this.known.get(key);
    if (peer === undefined && !this.known.has(key)) this.remember(key, (peer = readSent(principal, value)));
    // A part of the key: the value itself may be a part of a whole head, which would be kept with it.
    this.last.set(connection, { value: key.slice(principal.length + 1), peer });
    return peer;
  }

  /**
   * The peer at an address, by the endpoints that discovery brought.
   * @param connection and `uris` as for `bySent`
   */
  byAddress(connection: object, uris: readonly string[], address: string): Peer | undefined {
    const principal = spiffeIdOf(uris);
    if (principal === undefined || this.workloads === undefined) return undefined;
    let namespace = this.namespaces.get(connection);
    if (namespace === undefined) this.namespaces.set(connection, (namespace = namespaceOf(principal) ?? ''));
    const workload = namespace === '' ? undefined : this.workloads.at(address, namespace);
    if (workload === undefined) return undefined;
    const key = `${principal}\n${address}`;
    let peer = this.known.get(key);
    if (peer?.workload !== workload) this.remember(key, (peer = { principal, workload, sentHeaders: false }));
    return peer;
  }

  /** The oldest gives way. */
  private remember(key: string, peer: Peer | undefined): void {
    if (this.known.size >= MAX_PEERS) for (const oldest of this.known.keys()) if (this.known.delete(oldest)) break;
    this.known.set(key, peer);
  }
}

function readSent(principal: string, value: string): Peer | undefined {
  const namespace = namespaceOf(principal);
  if (namespace === undefined) return undefined;
  const workload = decodeMetadata(value);
  return workload?.namespace === namespace ? { principal, workload, sentHeaders: true } : undefined;
}

/** An SVID has exactly one URI name. */
function spiffeIdOf(uris: readonly string[]): string | undefined {
  return uris.length === 1 ? uris[0] : undefined;
}

function namespaceOf(principal: string): string | undefined {
  try {
    return parseWorkloadId(principal).namespace;
  } catch {
    return undefined;
  }
}
