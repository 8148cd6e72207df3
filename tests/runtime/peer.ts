/**
 * The runtime's own sockets as a program: reads a line on each accepted connection and does what it says. Reports on
 * standard output, one JSON object a line.
 */
import { currentRuntime } from '../../edge-proxy/runtime/index.ts';
import type { Connection, ConnectionHandler } from '../../edge-proxy/runtime/runtime.ts';

const runtime = currentRuntime();
const report = (line: object) => runtime.process.writeOut(JSON.stringify(line));
const text = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes);
const plaintext = runtime.process.args[0] === 'plaintext';
const BIG = 32 * 1024 * 1024;

class Served implements ConnectionHandler {
  private readonly connection: Connection;
  private kept: { bytes: Uint8Array; copy: string }[] = [];
  private mode = '';
  private left = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  onData(bytes: Uint8Array): void {
    const { connection } = this;
    if (this.mode === 'keep') {
      this.kept.push({ bytes, copy: text(bytes) });
      return;
    }
    if (this.mode === 'pause') {
      report({ whilePaused: bytes.length });
      return;
    }
    const line = text(bytes);
    this.mode = line;
    if (line === 'addresses') {
      const { remoteAddress, remotePort, localAddress, localPort } = connection;
      connection.writeLatin1(JSON.stringify({ remoteAddress, remotePort, localAddress, localPort }));
      connection.end();
    } else if (line === 'both') {
      connection.writeBoth('h\xe9ad:', new Uint8Array(3).fill(0xff));
      connection.writeBoth('big:', new Uint8Array(100_000).fill(0x80));
      connection.end();
    } else if (line === 'big') {
      this.left = BIG;
      this.pump();
    } else if (line === 'queue') {
      // Nothing waits for a drain: everything must be queued and come, the FIN behind it.
      for (let i = 0; i < 64; i++) connection.write(new Uint8Array(64 * 1024).fill(i));
      report({ queued: connection.buffered });
      connection.end();
    } else if (line === 'destroy') connection.destroy(new Error('on purpose'));
    else if (line === 'throw') throw new Error('an error of a handler');
    else if (line === 'echo') {
      connection.handler = new Echo(connection);
      connection.writeLatin1('go');
    } else if (line === 'pause') {
      connection.pause();
      report({ paused: true });
    } else if (line === 'late') {
      connection.pause();
      setTimeout(() => {
        connection.writeLatin1('late');
        connection.resume();
        this.mode = 'keep';
      }, 50);
    }
  }

  private pump(): void {
    const piece = new Uint8Array(256 * 1024).fill(7);
    while (this.left > 0) {
      this.left -= piece.length;
      if (!this.connection.write(piece)) {
        report({ buffered: this.connection.buffered });
        return;
      }
    }
    this.connection.end();
  }

  onDrain(): void {
    if (this.mode === 'big') this.pump();
  }

  onEnd(): void {
    const changed = this.kept.filter(({ bytes, copy }) => text(bytes) !== copy).length;
    const size = this.kept.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.connection.writeLatin1(`end ${size} ${changed}`);
    this.connection.end();
  }

  onClose(error?: Error): void {
    report({ closed: this.mode, error: error?.message ?? '' });
  }
}

/** Sends back what it reads, out of lent memory where the runtime lends. */
class Echo implements ConnectionHandler {
  private readonly connection: Connection;
  private lent = 0;
  private kept = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  onData(bytes: Uint8Array): void {
    // Several reads' worth wait, so that memory which is read into too early shows.
    if (this.connection.write(bytes) || this.connection.buffered < 512 * 1024) return;
    this.connection.pause();
    report({ echoWaits: true });
  }

  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
    this.lent++;
    if (this.connection.buffered > 0) this.kept++;
  }

  onDrain(): void {
    this.connection.resume();
  }

  onEnd(): void {
    report({ lent: this.lent, kept: this.kept });
    this.connection.end();
  }

  onClose(): void {}
}

/** Dials `port`, says hello, and reports what came of it. */
function dial(port: number, destroyAtOnce: boolean): void {
  let opened = false;
  let got = '';
  const connection = runtime.connect(
    { address: '127.0.0.1', port },
    undefined,
    {
      onData: (bytes) => {
        got += text(bytes);
      },
      onDrain() {},
      onEnd: () => connection.end(),
      onClose: (error) =>
        report({ dialled: port, opened, got, code: (error as { code?: string } | undefined)?.code ?? '' }),
    },
    (open) => {
      opened = true;
      open.writeLatin1('addresses');
    },
  );
  if (destroyAtOnce) connection.destroy();
}

const listening = await runtime.listen({ address: '127.0.0.1', port: 0, plaintext }, (connection) => {
  let gone = 0;
  connection.gone = () => report({ gone: ++gone });
  // The handler comes later, as after a sniff that waits; nothing may be lost until then.
  setTimeout(() => {
    connection.handler = new Served(connection);
  }, 5);
});
report({ listening: listening.port });
const refused = await runtime
  .listen({ address: '127.0.0.1', port: listening.port, plaintext }, () => {})
  .then(
    () => '',
    (error: Error) => error.message,
  );
report({ refused });
dial(listening.port, false);
dial(listening.port, true);
dial(Number(runtime.process.args[1]), false);
