/** PING frames that find out whether the peer is still there (Envoy's connection_keepalive). */
import type { Http2KeepAlive } from '../options.ts';
import type { FrameWriter } from './frame-writer.ts';

/** The payload of these PING frames; others that the connection sends have another. */
const PAYLOAD = Uint8Array.of(0x74, 0x75, 0x6c, 0x6c, 0x65, 0x6b, 0x61, 0);

export class KeepAlive {
  private readonly config: Http2KeepAlive;
  private readonly writer: FrameWriter;
  private readonly onTimeout: () => void;
  private interval: ReturnType<typeof setTimeout> | undefined;
  private answer: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  /** Since the time for silence began to run. */
  private wasRead = false;
  private silent = false;

  /** @param onTimeout a PING was not acknowledged in time; nothing more is done */
  constructor(config: Http2KeepAlive, writer: FrameWriter, onTimeout: () => void) {
    this.config = config;
    this.writer = writer;
    this.onTimeout = onTimeout;
    this.pingLater();
    if (config.idleIntervalMs > 0) this.waitForSilence();
  }

  private pingLater(): void {
    const { intervalMs, jitterPercent, random } = this.config;
    if (intervalMs === 0) return;
    const later = (intervalMs * jitterPercent * random()) / 100;
    this.interval = setTimeout(() => this.ping(), intervalMs + later);
  }

  private waitForSilence(): void {
    this.wasRead = false;
    this.silence = setTimeout(() => {
      if (this.wasRead) this.waitForSilence();
      else this.silent = true;
    }, this.config.idleIntervalMs);
  }

  private ping(): void {
    if (this.answer !== undefined) return;
    this.writer.ping(PAYLOAD, 0, false);
    this.answer = setTimeout(this.onTimeout, this.config.timeoutMs);
  }

  /** Something came from the peer. */
  onRead(): void {
    this.wasRead = true;
    if (!this.silent) return;
    this.silent = false;
    this.waitForSilence();
  }

  /** A stream is about to be opened. */
  probeIfSilent(): void {
    if (this.silent) this.ping();
  }

  /** @param bytes eight of them, from `at` on, are the payload of a PING that was acknowledged */
  onAck(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < PAYLOAD.length; i++) if (bytes[at + i] !== PAYLOAD[i]) return;
    clearTimeout(this.answer);
    this.answer = undefined;
    clearTimeout(this.interval);
    this.pingLater();
  }

  stop(): void {
    clearTimeout(this.interval);
    clearTimeout(this.answer);
    clearTimeout(this.silence);
  }
}
