/** `tulle hot-restart`: another process takes over from the proxy of this machine, without a request that fails. */
import { answerOf } from '../../../machine/join/ready.ts';
import { CliError } from '../cli-error.ts';
import { note } from '../output.ts';

/** The proxy itself waits for 80 s. */
const LIMIT_MS = 85_000;

/** @throws CliError with the reason why the proxy was not replaced */
export async function hotRestart({ adminPort }: { readonly adminPort: string }): Promise<void> {
  if (!/^[1-9]\d{0,4}$/.test(adminPort) || Number(adminPort) > 65_535)
    throw new CliError(`--admin-port ${adminPort}: must be 1 to 65535`);
  const answer = await answerOf(Number(adminPort), '/hot_restart', { method: 'POST', limitMs: LIMIT_MS });
  if (answer?.status === 200) return note('another process has taken over; the one before drains');
  if (answer === undefined)
    throw new CliError(
      `the proxy does not answer on port ${adminPort}: start it (systemctl start tulle-proxy.service)`,
    );
  if (answer.status === 404)
    throw new CliError('the proxy that runs is of a version without hot restart: restart it instead');
  throw new CliError(`the proxy was not replaced: ${answer.text.trim()}`);
}
