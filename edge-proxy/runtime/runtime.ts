/**
 * What the proxy core asks of a runtime. Node, Bun and Deno implement it with sockets; the core never imports
 * `node:*`, `Bun` or `Deno`. A worker has no sockets and enters the core behind `fetch` instead.
 */
import type { Log, LogSettings } from '../../shared/log/log.ts';
import type { PeerNames } from '../x509/verify-peer.ts';

/** What a TLS handshake established. */
export interface TlsInfo {
  readonly serverName: string;
  readonly alpn: string;
  readonly version: string;
  /** The peer's certificate chain as sent, DER, leaf first; empty without a certificate. */
  readonly peerChain: readonly Uint8Array[];
  /** URI names of the leaf certificate (its SPIFFE id); only after the chain was verified, else empty. */
  readonly peerUris: readonly string[];
  readonly peerDns: readonly string[];
  /** RFC 2253 subject of the leaf, '' without one. */
  readonly peerSubject: string;
  /** SHA-256 of the verified leaf (DER), lower-case hex; '' without one. */
  readonly peerHash: string;
  /** Serial number of the verified leaf, lower-case hexadecimal without leading zeros; '' or absent without one. */
  readonly peerSerial?: string | undefined;
  /** URI names of the certificate this side presented (its own SPIFFE id first); empty when it presented none. */
  readonly localUris: readonly string[];
  /** When the verified leaf expires, milliseconds since the epoch; undefined without one. */
  readonly peerNotAfter?: number | undefined;
}

/** Events of one connection. Swapped whole (`connection.handler = …`) when a protocol takes over. */
export interface ConnectionHandler {
  /** The runtime does not use the memory of `bytes` again: they may be kept, or written on as they are. */
  onData(bytes: Uint8Array): void;
  /**
   * Instead of `onData`, where the runtime has memory to lend: it reads into it again once this has returned and what
   * was passed to `write` meanwhile has gone out. Whatever else is kept must be copied.
   */
  onLent?(bytes: Uint8Array): void;
  /** All queued writes have gone out after a `write` that answered false. */
  onDrain(): void;
  /** The peer finished sending (FIN); writing may continue. */
  onEnd(): void;
  /** The connection has closed; called once, last. `error` when it was not an orderly close. */
  onClose(error?: Error): void;
}

/** One byte stream, plain or TLS, accepted or dialled. All methods are safe after close. */
export interface Connection {
  handler: ConnectionHandler;
  /** Called once when the connection has closed, after `onClose` of the current handler: for counting. */
  gone?: (() => void) | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: TlsInfo | undefined;
  /** Bytes accepted by `write` and not yet by the kernel. */
  readonly buffered: number;
  /** False: above the high-water mark, wait for `onDrain`. The bytes are taken either way and must not be changed. */
  write(bytes: Uint8Array): boolean;
  /** As `write`, for a string whose characters are all below U+0100 (HTTP heads). */
  writeLatin1(text: string): boolean;
  /** As `writeLatin1`, then `write`, in one piece where they are small: a head and the body that came with it. */
  writeBoth(text: string, bytes: Uint8Array): boolean;
  /** Half-close: flushes, then FIN. */
  end(): void;
  /** Closes at once (RST where the runtime can), dropping what is queued. */
  destroy(error?: Error): void;
  pause(): void;
  resume(): void;
}

/** PEM key material. */
export interface KeyPair {
  readonly certificateChain: string;
  readonly privateKey: string;
}

/** What a peer's certificate is judged by. */
export interface PeerTrust {
  /** PEM roots of one trust domain each: the one that the peer's SPIFFE id names decides, and no other. */
  readonly trustDomains?: readonly { readonly name: string; readonly roots: string }[] | undefined;
  /** SHA-256 of accepted leaves (DER) or of their public keys (SubjectPublicKeyInfo), lower-case hex: one must fit. */
  readonly pins?: { readonly certificates: readonly string[]; readonly keys: readonly string[] } | undefined;
  /** Judges a verified leaf's names (Envoy's SAN matchers); absent: any. */
  readonly acceptNames?: ((names: PeerNames) => boolean) | undefined;
  /** Revocation lists as PEM text, the roots' own text counted: where it holds any, chains need lists of their issuers. */
  readonly crl?: string | undefined;
  /** Only the leaf needs a list of its issuer. */
  readonly crlOfLeafOnly?: boolean | undefined;
  /** Certificates and lists past their time are taken. */
  readonly allowExpired?: boolean | undefined;
  /** CA certificates that a chain may have, the root counted. */
  readonly maxDepth?: number | undefined;
  /** A peer that does not verify is accepted as one without a name. */
  readonly acceptUntrusted?: boolean | undefined;
}

/** Options of one TLS server context; immutable, a rotation makes a new one. */
export interface ServerTlsOptions extends PeerTrust {
  readonly keyPair: KeyPair;
  /** PEM roots that client certificates must chain to; undefined: none is requested. */
  readonly trustedRoots: string | undefined;
  readonly requireClientCertificate: boolean;
  readonly alpn: readonly string[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL names for TLS 1.2; empty: the runtime's own. Throws where the runtime cannot choose. */
  readonly cipherSuites: readonly string[];
  /** Key exchange groups by OpenSSL's names; as cipherSuites. */
  readonly curves?: readonly string[];
  /** Names as in RFC 8446 4.2.3; as cipherSuites. */
  readonly signatureAlgorithms?: readonly string[];
}

export interface ClientTlsOptions extends PeerTrust {
  readonly keyPair: KeyPair | undefined;
  /** PEM roots the server must chain to; undefined: the server is not verified (Envoy without validation context). */
  readonly trustedRoots: string | undefined;
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly cipherSuites?: readonly string[];
  readonly curves?: readonly string[];
  readonly signatureAlgorithms?: readonly string[];
}

/** By what a server chooses among several certificates. */
export interface OwnCertificate {
  /** Lower case; `*.` in front means one label. */
  readonly serverNames: readonly string[];
  readonly key: 'RSA' | 'P-256' | 'P-384' | 'P-521' | 'other';
}

/** A compiled TLS context, opaque to the core. */
export interface TlsContext {
  readonly kind: 'server' | 'client';
  /** Of a server. */
  readonly certificate?: OwnCertificate;
  /** Why nothing may be dialled with it (its certificates have not arrived …): never a reason for plaintext. */
  readonly unready?: string;
}

export interface Listening {
  readonly address: string;
  readonly port: number;
  /** Stops accepting; accepted connections live on. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** An IP address, or that of a Unix domain socket (`unix-address.ts`). */
  readonly address: string;
  /** 0: chosen by the kernel; of a unix socket. */
  readonly port: number;
  /** A listening socket that this process inherited, instead of one that is made; its port must be `port`. */
  readonly descriptor?: number;
  /** No TLS is terminated here as things stand: the runtime may take sockets that serve plaintext best. */
  readonly plaintext?: boolean;
  readonly reusePort?: boolean;
  /** Permissions of the file of a Unix domain socket; default: by the umask of the process. */
  readonly mode?: number;
  readonly backlog?: number;
}

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

export interface DatagramOptions {
  /** An IP address. */
  readonly address: string;
  /** 0: chosen by the kernel. */
  readonly port: number;
  /** Only datagrams of this peer come, and datagrams go there. */
  readonly peer?: SocketAddress;
}

export interface DatagramHandler {
  /** `bytes` may be kept. */
  onDatagram(bytes: Uint8Array, from: SocketAddress): void;
  /** A datagram could not be sent, or the peer refused one (where the runtime says so). The socket stays open. */
  onError(error: Error): void;
}

/** A UDP socket. All methods are safe after close. */
export interface DatagramSocket {
  readonly address: string;
  readonly port: number;
  /** @param to absent: the peer. The bytes must not be changed. */
  send(bytes: Uint8Array, to?: SocketAddress): void;
  close(): void;
}

/** Where a connection goes, from where, and when the kernel first probes an idle one (milliseconds). */
export interface DialTarget {
  readonly address: string;
  readonly port: number;
  readonly localAddress?: string;
  readonly keepAliveMs?: number;
  /** Bytes that precede everything else on the connection, TLS included: made once it is there. */
  readonly preface?: ((ends: ConnectionEnds) => Uint8Array<ArrayBuffer>) | undefined;
  /** The workload is behind NAT: by a stream of one of its tunnels, for this connection where it is for one. */
  readonly tunnel?: TunnelTarget | undefined;
}

export interface TunnelTarget {
  /** Key of the workload. */
  readonly workload: string;
  /** SPIFFE ids that it may have. */
  readonly identities: readonly string[];
  readonly client?: ConnectionEnds | undefined;
}

/** The addresses of a connection that is there. */
export interface ConnectionEnds {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since some moment; never goes back. */
  monotonicMs(): number;
}

/** What makes two runs differ: given as a value, so that a test decides it. */
export interface ClockAndRandom extends Clock {
  /** [0, 1) */
  random(): number;
}

export interface Runtime extends ClockAndRandom {
  readonly name: 'node' | 'bun' | 'deno';
  /** @throws ListenError with the address and the reason (port in use, not permitted …) */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<Listening>;
  /** Opens a UDP socket. @throws ListenError with the address and the reason */
  openDatagrams(options: DatagramOptions, handler: DatagramHandler): Promise<DatagramSocket>;
  /** Dials; `onOpen` after TCP connect (and TLS handshake). Failure: `handler.onClose(error)` without `onOpen`. */
  connect(
    to: DialTarget,
    tls: TlsContext | undefined,
    handler: ConnectionHandler,
    onOpen: (connection: Connection) => void,
  ): Connection;
  /**
   * TLS as a client on a connection that is open, as `connect`: `onOpen` after the handshake, else `handler.onClose(error)`.
   * Destroying `connection` gives it up.
   */
  connectOver(
    connection: Connection,
    tls: TlsContext,
    handler: ConnectionHandler,
    onOpen: (connection: Connection) => void,
  ): void;
  serverTls(options: ServerTlsOptions): TlsContext;
  clientTls(options: ClientTlsOptions): TlsContext;
  /**
   * Turns an accepted connection, of which `firstBytes` were already read, into a TLS server connection. The chain
   * is verified by our own verifyPeer on every handshake; a client without an acceptable certificate never gets here.
   * @param giveUp aborted: the handshake has taken too long; without it the limit is 15 s
   * @returns the plaintext side; rejects when the handshake or the peer check fails
   */
  acceptTls(
    connection: Connection,
    context: TlsContext,
    firstBytes: Uint8Array,
    giveUp?: AbortSignal,
  ): Promise<Connection>;
  /**
   * Peers with these serial numbers (as TlsInfo has them) are refused from now on, and their open connections, accepted or
   * dialled, closed. Replaces the last list.
   */
  revokePeers(serials: ReadonlySet<string>): void;
  /** A and AAAA addresses of a host with the smallest TTL in seconds where known. */
  resolve(host: string): Promise<{ addresses: string[]; ttl: number | undefined }>;
  /** The addresses of this host's network interfaces, in this process's network namespace. */
  localAddresses(): readonly string[];
  readonly files: Files;
  readonly process: ProcessControl;
}

export interface Files {
  read(path: string): Promise<Uint8Array | undefined>;
  /** Writes to a temporary file in the same folder, fsyncs, renames: readers see the old or the new, never a part. */
  writeAtomic(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /**
   * Adds to a file that has `size` bytes, and fsyncs; a crash can leave a part of `bytes` at its end.
   * @throws Error when there is no such file or it has another size; nothing was written then
   */
  append(path: string, bytes: Uint8Array, size: number): Promise<void>;
  makeFolder(path: string, mode: number): Promise<void>;
  remove(path: string): Promise<void>;
  /** Calls back when something in the folder changed. @returns stop */
  watchFolder(path: string, changed: () => void): () => void;
}

/** Messages to another process, JSON. */
export interface Channel {
  send(message: unknown): void;
  onMessage(take: (message: unknown) => void): void;
  /** The other side has closed. */
  onClose(take: () => void): void;
}

export interface WorkerProcess extends Channel {
  kill(): void;
}

export type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

export interface ApplicationEnd {
  /** The exit code as a shell shows it. */
  readonly code: number;
  /** Why it could not be started. */
  readonly error: string | undefined;
}

/** The application of `tulle run`. */
export interface Application {
  /** undefined: it could not be started. */
  readonly pid: number | undefined;
  kill(signal: EndSignal): void;
  /** Addresses, as `0.0.0.0:80`, at which it or its descendants listen for other hosts; empty where the system does not say. */
  openPorts(): Promise<readonly string[]>;
  readonly ended: Promise<ApplicationEnd>;
}

export interface CommandEnd {
  /** undefined: a signal ended it, or it could not be started. */
  readonly code: number | undefined;
  /** Why there is no exit code, in one line. */
  readonly error: string | undefined;
  /** The beginning of its standard output and error, at most 1 KiB. */
  readonly output: string;
}

/** A command whose end is waited for. */
export interface RunningCommand {
  readonly ended: Promise<CommandEnd>;
  /** Ends it and the processes of its group with SIGKILL; safe to call again. */
  kill(): void;
}

/** A process that is to take over from this one. */
export interface Successor {
  readonly pid: number | undefined;
  /** Resolves with the reason when it ends, or could not be started. */
  readonly failed: Promise<string>;
  /** Ends it at once. */
  kill(): void;
}

/** Hot restart: a process takes the listening sockets of another one, which then drains. */
export interface Succession {
  /** The process that this one replaces; undefined: none, or it has ended. */
  readonly predecessor: number | undefined;
  /** Tells the predecessor that this process serves in its place. */
  releasePredecessor(): void;
  /** Called when a successor of this process says that it serves. */
  onReplaced(replaced: () => void): void;
  /** Closes sockets that were handed over to this process and that nothing listens on. */
  closeUntaken(): Promise<void>;
  /**
   * Starts this program again, with the sockets on which this process listens.
   * @param named sockets that this process inherited, by name
   * @throws Error in one line: why it cannot be replaced
   */
  start(named: Readonly<Record<string, number>>): Successor;
}

export interface ProcessControl {
  /**
   * Starts this program again as a worker that shares its listening ports; absent where the runtime cannot.
   * @param descriptors which it inherits, under the same numbers
   */
  readonly startWorker?: (descriptors: readonly number[]) => WorkerProcess;
  readonly pid: number;
  /** Cores this process may use, at least 1. */
  cores(): number;
  /** In a worker: the way to its parent. */
  readonly parent?: Channel | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly args: readonly string[];
  /** Child processes no longer get the variable. What the process was started with stays in /proc. */
  removeFromEnvironment(name: string): void;
  /**
   * Starts a program on this process's standard streams.
   * @param withheld descriptors that this process inherited, and the program does not
   */
  startApplication(
    command: readonly [string, ...string[]],
    environment: Readonly<Record<string, string | undefined>>,
    withheld: readonly number[],
  ): Application;
  /**
   * Starts a program without a shell, in a process group of its own, with this process's user and environment and no standard
   * input. The end of this process ends it, unless SIGKILL ends this process.
   * @param withheld descriptors that this process inherited, and the program does not
   */
  startCommand(command: readonly [string, ...string[]], withheld: readonly number[]): RunningCommand;
  /**
   * Tells the service manager that started this process that it is ready, and is the main process; absent: there can be none.
   * @returns why that failed, in one line
   */
  notifyReady?(): Promise<string | undefined>;
  /** Absent: a process cannot be replaced by another one on its sockets. */
  readonly succession?: Succession;
  /**
   * `writeOut` and `writeError`, of workers started later too, go to the end of `file`, or without one to standard error.
   * @throws Error where the file cannot be opened
   */
  redirectOutput(file: string | undefined): void;
  onSignal(signal: EndSignal, handler: () => void): void;
  exit(code: number): never;
  residentBytes(): number;
  /** Gives back memory that nothing uses, in a pause of milliseconds; absent where the runtime exposes no way. */
  readonly collectGarbage?: (() => void) | undefined;
  /** Gives back what the start alone needed, compiled code among it; code that runs again is compiled again. Absent: no way. */
  readonly releaseStartup?: (() => void) | undefined;
  writeOut(line: string): void;
  /** For access logs, and for what is reported to a user before the log's settings are known. */
  writeError(line: string): void;
  /** The log of this process, on standard error. */
  readonly log: Log;
  /** From now on, also of workers that are started. */
  configureLog(settings: LogSettings): void;
}
