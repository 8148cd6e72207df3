/**
 * The addresses on which this process listens, and the rule that it never connects to one of them: a proxy that calls
 * itself can loop without end, and sends a call again with its own identity.
 */
import { type Ip, parseIp } from '../../shared/match/cidr.ts';
import { isUnixAddress } from '../../shared/match/unix-address.ts';
import type { Connection, Listening, Runtime, TlsContext } from '../runtime/runtime.ts';

/** An address as listeners report it. */
export interface ListeningAddress {
  readonly address: string;
  readonly port: number;
}

type Addresses = Pick<Connection, 'localAddress' | 'remoteAddress'>;

interface Bound {
  /** As `addressKey`, or the address of a Unix domain socket; undefined: every address of this host. */
  readonly key: string | undefined;
  readonly text: string;
}

/** For so long the addresses of the host's interfaces are not read again, milliseconds. */
const INTERFACES_MS = 1000;
const LOOPBACK = 127;

/** Indexed by port: a connection to a port on which this process does not listen costs one look-up. */
export class OwnListeners {
  private readonly host: Pick<Runtime, 'localAddresses' | 'monotonicMs'>;
  private readonly byPort = new Map<number, Set<Bound>>();
  private interfaces: ReadonlySet<string> = new Set();
  private interfacesReadAt = Number.NEGATIVE_INFINITY;

  constructor(host: Pick<Runtime, 'localAddresses' | 'monotonicMs'>) {
    this.host = host;
  }

  /**
   * @param at a wildcard address (`0.0.0.0`, `::`), or text that is no IP address, means every address of the host
   * @returns removes it
   */
  add({ address, port }: ListeningAddress): () => void {
    const ip = parseIp(address);
    const socket = isUnixAddress(address);
    const bound: Bound = {
      key: socket ? address : ip && !isUnspecified(ip) ? addressKey(ip) : undefined,
      text: socket ? address : `${address.includes(':') ? `[${address}]` : address}:${port}`,
    };
    const known = this.byPort.get(port) ?? new Set();
    this.byPort.set(port, known.add(bound));
    return () => {
      known.delete(bound);
      if (known.size === 0 && this.byPort.get(port) === known) this.byPort.delete(port);
    };
  }

  /**
   * The own listener, as `address:port`, to which a connection to this address would come; undefined: none. Text that is
   * no IP address counts as the listener's: the resolver of the system may read it as one.
   */
  find({ address, port }: ListeningAddress): string | undefined {
    const listeners = this.byPort.get(port);
    if (!listeners) return undefined;
    if (isUnixAddress(address)) return [...listeners].find(({ key }) => key === address)?.text;
    const ip = parseIp(address);
    const key = ip && addressKey(isUnspecified(ip) ? loopbackOf(ip) : ip);
    for (const bound of listeners) {
      if (key === undefined || key === bound.key) return bound.text;
      if (bound.key === undefined && (isLoopback(ip!) || isUnspecified(ip!) || this.isInterface(key)))
        return bound.text;
    }
    return undefined;
  }

  /**
   * As `find`, for a connection that is open: the listener may have been added while it was made. A connection from an
   * address to itself stays in the host, so a wildcard listener on its port is its other end, also where no interface has
   * the address (AnyIP routes).
   */
  findOpened({ localAddress, remoteAddress }: Addresses, port: number): string | undefined {
    const listeners = this.byPort.get(port);
    if (!listeners) return undefined;
    if (localAddress === remoteAddress && localAddress !== '')
      for (const bound of listeners) if (bound.key === undefined) return bound.text;
    return this.find({ address: remoteAddress, port });
  }

  private isInterface(key: string): boolean {
    const now = this.host.monotonicMs();
    if (now - this.interfacesReadAt >= INTERFACES_MS) {
      const ips = this.host.localAddresses().map(parseIp);
      this.interfaces = new Set(ips.flatMap((ip) => (ip ? [addressKey(ip)] : [])));
      this.interfacesReadAt = now;
    }
    return this.interfaces.has(key);
  }
}

/** What a refused connection fails with, as access logs show it. */
const REFUSED = 'connection to a listener of this proxy refused';
/** A runtime fails every connection with a context that is not ready, before a packet is sent. */
const NEVER: TlsContext = { kind: 'client', unready: REFUSED };

/**
 * The runtime, with its listeners kept in `own` and connections to any of them refused: they fail as those that the peer
 * refuses do.
 * @param onRefused called for each refusal, with the listener that would have been reached
 */
export function withoutOwnListeners(
  runtime: Runtime,
  own: OwnListeners,
  onRefused: (listener: string) => void,
): Runtime {
  const guarded: Pick<Runtime, 'listen' | 'connect'> = {
    async listen(options, onConnection) {
      // The kernel takes connections before the runtime says that it listens.
      const removeEarly = options.port > 0 ? own.add(options) : undefined;
      let listening: Listening;
      let remove: () => void;
      try {
        listening = await runtime.listen(options, onConnection);
        remove = own.add(listening);
      } finally {
        removeEarly?.();
      }
      return {
        address: listening.address,
        port: listening.port,
        close() {
          remove();
          return listening.close();
        },
      };
    },
    connect(to, tls, handler, onOpen) {
      const listener = own.find(to);
      if (listener !== undefined) {
        onRefused(listener);
        return runtime.connect(to, NEVER, handler, onOpen);
      }
      return runtime.connect(to, tls, handler, (opened) => {
        const reached = isUnixAddress(to.address) ? undefined : own.findOpened(opened, to.port);
        if (reached === undefined) return onOpen(opened);
        onRefused(reached);
        opened.destroy(new Error(REFUSED));
      });
    },
  };
  return Object.create(runtime, Object.getOwnPropertyDescriptors(guarded)) as Runtime;
}

function addressKey({ family, words }: Ip): string {
  return `${family}:${words.join('.')}`;
}

function isUnspecified({ words }: Ip): boolean {
  return words.every((word) => word === 0);
}

/** Linux connects 0.0.0.0 to 127.0.0.1 and :: to ::1. */
function loopbackOf({ family }: Ip): Ip {
  return family === 4 ? { family, words: [0x7f000001] } : { family, words: [0, 0, 0, 1] };
}

function isLoopback({ family, words }: Ip): boolean {
  return family === 4 ? words[0]! >>> 24 === LOOPBACK : words.slice(0, 3).every((word) => word === 0) && words[3] === 1;
}
