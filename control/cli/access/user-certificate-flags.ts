/** `--client-ca-file`, as kube-apiserver has it, and the revocation lists of its CAs. */
import type { Command } from 'commander';
import type { UserCertificateFiles } from '../../api/server/user-certificates.ts';
import { CliError } from '../cli-error.ts';

export interface UserCertificateFlags {
  clientCaFile?: string;
  clientCrlFile?: string;
}

/** Adds the flags to `tulle control`. */
export function userCertificateOptions(command: Command): Command {
  return command
    .option(
      '--client-ca-file <file>',
      'PEM of CAs whose client certificates are users: the common name is the user, organizations are groups',
    )
    .option('--client-crl-file <file>', 'PEM of revocation lists of these CAs');
}

/** @returns undefined without `--client-ca-file` @throws CliError naming the flag */
export function userCertificatesOf({
  clientCaFile,
  clientCrlFile,
}: UserCertificateFlags): UserCertificateFiles | undefined {
  if (clientCaFile !== undefined)
    return { caFile: clientCaFile, ...(clientCrlFile !== undefined && { crlFile: clientCrlFile }) };
  if (clientCrlFile !== undefined) throw new CliError('--client-crl-file: needs --client-ca-file');
  return undefined;
}
