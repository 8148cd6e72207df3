/** The name and the addresses of this host, as other hosts reach it, and what is done when they change. */
import { hostname, networkInterfaces } from 'node:os';
import type { Log } from '../../../shared/log/log.ts';

export interface HostNames {
  /** A DNS name in lower case; absent where the host's name is none. */
  readonly name?: string;
  /** Of its interfaces, IPv4 first, without loopback and link-local ones. */
  readonly addresses: readonly string[];
}

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Whether a text is a DNS name in lower case (RFC 1123 section 2.1). */
export const isDnsName = (text: string): boolean => DNS_NAME.test(text);

/** Those of this machine now. */
export function hostNames(): HostNames {
  const entries = Object.values(networkInterfaces()).flatMap((list = []) => list);
  const reachable = entries.filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address));
  const addresses = reachable.sort((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address);
  const name = hostname().toLowerCase();
  return isDnsName(name) ? { name, addresses } : { addresses };
}

export interface HostWatch {
  readonly names: () => HostNames;
  readonly everyMs: number;
  /** Makes the certificate again; called until it succeeds. */
  readonly renew: () => Promise<void>;
  readonly log: Log;
}

/** Has the certificate made again when the name or the addresses of the host change, one renewal at a time. @returns stops it */
export function watchHostNames({ names, everyMs, renew, log }: HostWatch): () => void {
  const listed = () => {
    const { name, addresses } = names();
    return [...(name === undefined ? [] : [name]), ...[...addresses].sort()].join(' ');
  };
  let held = listed();
  let renewing = false;
  const compare = async (): Promise<void> => {
    const current = listed();
    if (current === held) return;
    await renew();
    held = current;
    log(`the names of this host have changed: the certificate is made again for ${current}`);
  };
  const timer = setInterval(() => {
    if (renewing) return;
    renewing = true;
    // Reading the names fails as well, as where the process has no descriptor left.
    compare()
      .catch((error: Error) => log(`certificate not made for the new names of this host: ${error.message}`, 'error'))
      .finally(() => {
        renewing = false;
      });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
