/** `--audit-log` and what goes with it. Flags have the names of kube-apiserver's. */
import { type Command, Option } from 'commander';
import { AUDIT_MODES, type AuditMode } from '../../audit/audit-log.ts';
import { EVERYTHING, readAuditPolicy } from '../../audit/audit-policy.ts';
import type { AuditSettings } from '../../audit/open-audit-log.ts';
import { CliError, readText } from '../cli-error.ts';

export interface AuditFlags {
  auditLog?: string;
  auditLogMode: AuditMode;
  auditPolicyFile?: string;
  auditLogMaxsize: string;
  auditLogMaxbackup: string;
  auditLogMaxage: string;
}

/** Adds the flags to `tulle control`. */
export function auditOptions(command: Command): Command {
  return command
    .option('--audit-log <file>', 'write a line of JSON for each request (audit.k8s.io/v1); - is standard output')
    .addOption(
      new Option(
        '--audit-log-mode <mode>',
        'batch: answers do not wait for their line; blocking: they do; blocking-strict: what cannot be logged is refused',
      )
        .choices(AUDIT_MODES)
        .default('blocking'),
    )
    .option('--audit-policy-file <file>', 'which requests are logged: a Policy of audit.k8s.io/v1 (default: all)')
    .option('--audit-log-maxsize <megabytes>', 'size at which the file is rotated; 0: never', '100')
    .option('--audit-log-maxbackup <number>', 'most rotated files that are kept; 0: all', '10')
    .option('--audit-log-maxage <days>', 'how long rotated files are kept; 0: no limit', '0');
}

/** @returns undefined without `--audit-log` @throws CliError naming the flag */
export function auditOf(flags: AuditFlags): AuditSettings | undefined {
  const { auditLog: path, auditPolicyFile: policyFile } = flags;
  if (path === undefined) {
    if (policyFile !== undefined) throw new CliError('--audit-policy-file: needs --audit-log');
    return undefined;
  }
  return {
    path,
    mode: flags.auditLogMode,
    policy: policyFile === undefined ? EVERYTHING : policyOf(policyFile),
    rotation: {
      maxBytes: numberOf('--audit-log-maxsize', flags.auditLogMaxsize) * 1_000_000,
      maxBackups: numberOf('--audit-log-maxbackup', flags.auditLogMaxbackup),
      maxDays: numberOf('--audit-log-maxage', flags.auditLogMaxage),
    },
  };
}

function policyOf(file: string) {
  const text = readText(file, '--audit-policy-file');
  try {
    return readAuditPolicy(text);
  } catch (error) {
    throw new CliError(`--audit-policy-file ${file}: ${(error as Error).message}`);
  }
}

function numberOf(flag: string, text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new CliError(`${flag} ${text}: must be a whole number from 0 to 99999`);
}
