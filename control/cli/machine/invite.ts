/** `tulle invite`: an invitation of the control plane, as the one line to run on a machine. */
import * as z from 'zod';
import { INSTALL_PATH, InstallListing } from '../../../shared/install/install-files.ts';
import { formatInvitation } from '../../../shared/join/invitation.ts';
import { CliError } from '../cli-error.ts';
import type { ClientFlags } from '../command-options.ts';
import { ControlApi, describeStatus } from '../connection.ts';
import { seconds } from '../control.ts';
import { note } from '../output.ts';
import { bareLine, installedLine } from './join-line.ts';

export interface InviteFlags extends ClientFlags {
  group?: string;
  serviceAccount?: string;
  uses: string;
  expires: string;
  ephemeral?: boolean;
  labels?: string[];
  installed?: boolean;
  /** `--no-sudo` */
  sudo: boolean;
}

/** Answer of `POST /v1/invitations`. */
const Invited = z.object({
  id: z.string(),
  token: z.string(),
  /** RFC 3339. */
  expires: z.string(),
  rootHash: z.string().regex(/^[0-9a-f]{64}$/),
  controlPlanes: z.array(z.string()).min(1),
});

/** Prints the line on standard output, and what else there is to say on standard error. @throws CliError */
export async function invite(flags: InviteFlags): Promise<void> {
  const api = ControlApi.from(flags);
  const namespace = flags.namespace ?? api.namespace;
  const body = {
    namespace,
    ...(flags.group !== undefined && { group: flags.group }),
    ...(flags.serviceAccount !== undefined && { serviceAccount: flags.serviceAccount }),
    uses: usesOf(flags.uses),
    ttlSeconds: seconds('--expires', flags.expires),
    ...(flags.ephemeral && { ephemeral: true }),
    labels: labelsOf(flags.labels ?? []),
  };
  const parsed = Invited.safeParse(await api.call('POST', '/v1/invitations', body));
  if (!parsed.success) throw new CliError(`${api.server}: its answer is no invitation; is it an older control plane?`);
  const { id, token, expires, rootHash, controlPlanes } = parsed.data;
  const invitation = formatInvitation({ controlPlanes, token, rootHash });
  const script = flags.installed ? undefined : await scriptOf(api);
  const asUser = !flags.sudo;
  const line = script
    ? bareLine({ invitation, controlPlanes, scriptSha256: script, asUser })
    : installedLine(invitation, asUser);
  const what = flags.group === undefined ? `namespace ${namespace}` : `group ${flags.group} of namespace ${namespace}`;
  const uses = body.uses === 1 ? 'one machine' : `${body.uses} machines`;
  note(`invitation ${id}: ${uses} may join ${what} until ${expires}. It is a secret. Run this line on the machine:`);
  process.stdout.write(`${line}\n`);
}

/** The digest of the installer script; undefined, said on standard error: the control plane has nothing to install. */
async function scriptOf(api: ControlApi): Promise<string | undefined> {
  const answer = await api.request('GET', INSTALL_PATH);
  if (answer.status === 404) {
    note(`the line needs tulle on the machine: ${describeStatus(answer)}`);
    return undefined;
  }
  const listing = InstallListing.safeParse(answer.body);
  if (answer.status === 200 && listing.success) return listing.data.script.sha256;
  throw new CliError(`${api.server}${INSTALL_PATH}: ${describeStatus(answer)}`);
}

function usesOf(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new CliError(`--uses ${text}: must be a whole number from 1 to 999999`);
}

function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs
      .flatMap((pair) => pair.split(','))
      .map((pair) => {
        const at = pair.indexOf('=');
        if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
        throw new CliError(`--labels ${pair}: must be NAME=VALUE`);
      }),
  );
}
