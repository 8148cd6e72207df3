/** The files of a plugged-in authority (`--ca-certs`) are read again while the control plane runs. */
import type { Log } from '../../../shared/log/log.ts';
import type { Authority } from '../authority.ts';

/** Between two looks at the files. */
const CHECK_MS = 5000;

export interface PluggedInFilesOptions {
  readonly authority: Pick<Authority, 'reload'>;
  /** Roots or the issuer are others now. */
  readonly changed: () => Promise<void>;
  readonly log: Log;
}

export class PluggedInFiles {
  readonly #options: PluggedInFilesOptions;
  readonly #timer: NodeJS.Timeout;
  #failure: string | undefined;

  constructor(options: PluggedInFilesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look(), CHECK_MS);
    this.#timer.unref();
  }

  /** Where the files are broken, as amid a replacement, what was read before stays in force, and the log has the reason. */
  async look(): Promise<void> {
    const { authority, changed, log } = this.#options;
    try {
      const isChanged = await authority.reload();
      this.#failure = undefined;
      if (!isChanged) return;
      await changed();
      log('--ca-certs: the certificate authority was read again', 'info');
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#failure) log(`--ca-certs: ${message}; what was read before stays in force`, 'error');
      this.#failure = message;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
