/** `tulle check`: what is wrong with this machine as a workload of the mesh, each finding with its remedy. */
import process from 'node:process';
import { findingsJson, formatFindings, isGood } from '../../../machine/checks/finding.ts';
import { checkMachine } from '../../../machine/checks/machine-checks.ts';
import { waitUntilReady } from '../../../machine/join/ready.ts';
import { readRecord, recordPath } from '../../../machine/join/record.ts';
import pkg from '../../../package.json' with { type: 'json' };
import { escapeJson, escapeLines } from '../../../shared/log/escape.ts';
import { CliError } from '../cli-error.ts';
import { redirectionFindings } from './redirection.ts';
import { thisMachine } from './this-machine.ts';

const FORMATS = ['table', 'short', 'json'];

/**
 * Whether the proxy of this machine has its configuration in force: for health checks of containers, without the other checks.
 * @param waitMs how long it may take
 * @throws CliError where it is not ready
 */
export async function checkReady(waitMs: number): Promise<void> {
  const never = new Promise<never>(() => {});
  await waitUntilReady(waitMs, never).catch((error: Error) => {
    throw new CliError(error.message);
  });
}

/** Exit code as `linkerd check`: 1 where a check failed; warnings alone are no failure. */
export async function check(flags: { output: string }): Promise<void> {
  if (!FORMATS.includes(flags.output)) throw new CliError(`-o ${flags.output}: must be one of ${FORMATS.join(', ')}`);
  const { host, layout, systemd } = await thisMachine();
  const record = await readRecord(host, layout);
  if (!record)
    throw new CliError(
      `this machine has not joined (there is no ${recordPath(layout)}): run the line that "tulle invite" prints${layout.system ? '' : ', or look at it with "sudo tulle check"'}`,
    );
  const parts = { host, layout, systemd, version: pkg.version, redirection: redirectionFindings };
  const categories = await checkMachine(record, parts);
  const text =
    flags.output === 'json'
      ? escapeJson(JSON.stringify(findingsJson(categories), null, 2))
      : escapeLines(formatFindings(categories, flags.output === 'short'));
  process.stdout.write(`${text}\n`);
  process.exitCode = isGood(categories) ? 0 : 1;
}
