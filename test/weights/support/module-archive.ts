/** Writes small TorchScript archives opcode by opcode, as LibTorch and as an attacker would. */
import { dict, global, type Piece, pickle, program } from './pickle-bytes.ts';
import { writeZip, type ZipEntry } from './zip-writer.ts';

/** An instance of a TorchScript class with attributes. */
export const module = (...attributes: readonly (readonly [string, Piece])[]): Buffer =>
  pickle(global('__torch__.graphs', 'Network'), ')\x81', dict(...attributes), 'b');

export interface ArchiveParts {
  /** Text of `extra/animatediff.json`. */
  readonly extra?: string;
  /** Bytes of each storage, by key. */
  readonly storages?: Readonly<Record<string, Buffer>>;
  /** Entries that replace or join those of a sound archive. */
  readonly entries?: readonly ZipEntry[];
}

/** Writes an archive around the pickle of its root module. Returns the path. */
export function writeModuleArchive(
  file: string,
  root: Piece,
  { extra, storages = {}, entries = [] }: ArchiveParts = {},
): string {
  const sound: ZipEntry[] = [
    { name: 'archive/data.pkl', data: program(root) },
    { name: 'archive/byteorder', data: Buffer.from('little') },
    { name: 'archive/constants.pkl', data: pickle('\x80\x02).') },
    { name: 'archive/code/__torch__/graphs.py', data: Buffer.from('class Network(Module):\n  pass\n') },
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
    ...(extra === undefined ? [] : [{ name: 'archive/extra/animatediff.json', data: Buffer.from(extra) }]),
  ];
  const kept = sound.filter(({ name }) => !entries.some((entry) => entry.name === name));
  return writeZip(file, [...kept, ...entries]);
}
