/**
 * Certificates that the mesh has revoked: refused at every handshake, and the connections of their holders are closed. An
 * open connection costs a place in a set; requests on it cost nothing.
 */
import type { Connection } from '../runtime.ts';

/** The serial number alone decides: 64 bits of it are random, so that no certificate of another authority has the same. */
export class RevokedPeers {
  private serials: ReadonlySet<string> = new Set();
  /** Connections with a verified peer. */
  private readonly open = new Set<Connection>();

  /** @throws Error where the certificate is revoked; '' is none */
  check(serial: string): void {
    if (this.serials.has(serial)) throw new Error('TLS: peer certificate is revoked');
  }

  /** @returns to be called when the connection has closed; undefined: its peer has no verified certificate */
  watch(connection: Connection): (() => void) | undefined {
    if (!connection.tls?.peerSerial) return undefined;
    this.open.add(connection);
    return () => void this.open.delete(connection);
  }

  /** Replaces the list, and closes the connections whose peers are on it. */
  set(serials: ReadonlySet<string>): void {
    this.serials = serials;
    if (serials.size === 0) return;
    for (const connection of this.open)
      if (serials.has(connection.tls?.peerSerial ?? ''))
        connection.destroy(new Error('TLS: peer certificate was revoked'));
  }
}
