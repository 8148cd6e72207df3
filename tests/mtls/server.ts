/**
 * A strict mTLS server on the proxy's own sockets, run on each runtime by the negative suite. It reads its settings
 * from the file named by the first argument and reports on standard output, one JSON object a line:
 * {listening: port}, {delivered: text, uris}, {refused: reason}.
 */
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { Connection, ConnectionHandler } from '../../edge-proxy/runtime/runtime.ts';

interface Settings {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustedRoots: string;
  readonly acceptPrefix: string;
  /** The listener is opened as one that has no TLS yet. */
  readonly plaintext: boolean;
}

const runtime = currentRuntime();
const report = (line: object) => runtime.process.writeOut(JSON.stringify(line));
const settings = JSON.parse(new TextDecoder().decode(await runtime.files.read(runtime.process.args[0]!))) as Settings;
const context = runtime.serverTls({
  keyPair: settings,
  trustedRoots: settings.trustedRoots,
  requireClientCertificate: true,
  alpn: ['istio', 'http/1.1'],
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  cipherSuites: [],
  acceptNames: (names) => names.uris.some((uri) => uri.startsWith(settings.acceptPrefix)),
});

/** Answers what it is sent; counts while the first line says "pause". */
class Echo implements ConnectionHandler {
  private readonly connection: Connection;
  private paused = false;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  onData(bytes: Uint8Array): void {
    const text = new TextDecoder().decode(bytes.subarray(0, 64));
    if (this.paused) {
      report({ afterPause: bytes.length });
      return;
    }
    if (text.startsWith('pause')) {
      this.paused = true;
      this.connection.pause();
      report({ paused: true });
      return;
    }
    report({ delivered: text, uris: this.connection.tls?.peerUris, alpn: this.connection.tls?.alpn });
    if (!this.connection.write(bytes.slice())) this.connection.pause();
  }

  onDrain(): void {
    this.connection.resume();
  }

  onEnd(): void {
    this.connection.writeLatin1('bye');
    this.connection.end();
  }

  onClose(): void {}
}

const listening = await runtime.listen(
  { address: '127.0.0.1', port: 0, plaintext: settings.plaintext },
  (connection) => {
    connection.handler = {
      onData(bytes) {
        runtime.acceptTls(connection, context, bytes).then(
          (secure) => {
            secure.handler = new Echo(secure);
          },
          (error: Error) => report({ refused: error.message }),
        );
      },
      onDrain() {},
      onEnd: () => connection.end(),
      onClose() {},
    };
  },
);
report({ listening: listening.port, runtime: runtime.name });
