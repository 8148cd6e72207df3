/** The commands that save a mesh and bring it back. */
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type ClientFlags, client } from '../command-options.ts';
import { ControlApi } from '../connection.ts';
import { type EncryptionFlags, encryptionOptions, sealerOf } from '../encryption/encryption-keys.ts';
import { etcdOf, etcdOptions, type StoreFlags } from '../etcd/etcd-flags.ts';

const PASSPHRASE = 'passphrase of at least 12 characters, or a random key as text (or TULLE_BACKUP_PASSPHRASE)';

export function registerBackupCommands(program: Command): void {
  client(
    program
      .command('backup')
      .description('Save the whole mesh into one encrypted file, while it runs: resources, keys, joins, tokens.'),
  )
    .argument('<file>', 'the file to write')
    .option('--passphrase-file <file>', PASSPHRASE)
    .action(async (file: string, flags: ClientFlags & { passphraseFile?: string }) => {
      const { backup, passphraseOf } = await import('./backup.ts');
      await backup(ControlApi.from(flags), file, passphraseOf(flags.passphraseFile));
    });
  encryptionOptions(
    etcdOptions(
      program
        .command('restore')
        .description('Bring a backup back, while no control plane runs: into an empty data folder, or with --force.')
        .argument('<file>', 'what tulle backup wrote')
        .option('--data <folder>', 'data folder of the control plane', './tulle-data')
        .option('--store <url>', 'bring resources back into etcd: etcd://host:port[,host:port…][/prefix]'),
    ),
  )
    .option('--passphrase-file <file>', PASSPHRASE)
    .option('--force', 'replace what is there; files are kept in a folder within')
    .action(
      async (
        file: string,
        flags: StoreFlags & EncryptionFlags & { data: string; passphraseFile?: string; force?: true },
      ) => {
        const { passphraseOf } = await import('./backup.ts');
        const { restore } = await import('./restore.ts');
        const passphrase = passphraseOf(flags.passphraseFile);
        const { encryptionKeyFile: _, encryptionKeyCommand: __, ...store } = flags;
        const sealer = await sealerOf(flags);
        await restore({ sealer, file, passphrase, data: flags.data, etcd: etcdOf(store), force: flags.force ?? false });
      },
    );
  encryptionOptions(
    etcdOptions(
      program
        .command('migrate')
        .description('Copy resources and their history from a data folder to etcd, while no control plane runs.')
        .requiredOption('--from <folder>', 'a data folder')
        .requiredOption('--to <url>', 'etcd://host:port[,host:port…][/prefix]'),
    ),
  )
    .option('--force', 'replace resources that are there')
    .action(async (flags: StoreFlags & EncryptionFlags & { from: string; to: string; force?: true }) => {
      const { migrate } = await import('./migrate.ts');
      const placeOf = (text: string) => {
        if (!text.includes('://')) return { folder: text };
        const { from: _, to: __, force: ___, ...rest } = flags;
        return { etcd: etcdOf({ ...rest, store: text })! };
      };
      const [from, to] = [placeOf(flags.from), placeOf(flags.to)];
      if ('folder' in from && 'folder' in to) throw new CliError('migrate: one of --from and --to must be etcd://…');
      await migrate({ sealer: await sealerOf(flags), from, to, force: flags.force ?? false });
    });
}
