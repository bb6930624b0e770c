/** Files that the test support writes, read back with independent means. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import { toBFloat16, toFloat16 } from './half-precision.ts';
import { seededTensor } from './seeded-weights.ts';
import { positionTable } from './tensor.ts';
import { writeCheckpoint, writeMotionAdapter, writeMotionModule, writePipelineFolder } from './tiny-model.ts';
import { writeWhole } from './write-whole.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'animatediff-support-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const inFolder = (name: string) => path.join(folder, name);

interface Read {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

function readSafetensors(file: string): Map<string, Read> {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: _, ...header } = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const read = Object.entries(header).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => {
      return [name, { dtype, shape, bytes: bytes.subarray(start + from, start + to) }] as const;
    },
  );
  assert.equal(
    Math.max(...Object.values(header).map(({ data_offsets: [, to] }) => to)),
    bytes.length - start,
  );
  return new Map(read);
}

/** Entries of a zip by way of its central directory, with their checksums compared. */
function readZip(file: string): Map<string, { readonly offset: number; readonly bytes: Buffer }> {
  const zip = readFileSync(file);
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const entries = new Map<string, { offset: number; bytes: Buffer }>();
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    const size = zip.readUInt32LE(at + 24);
    const nameLength = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    const offset = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const bytes = zip.subarray(offset, offset + size);
    assert.equal(crc32(bytes), zip.readUInt32LE(at + 16));
    entries.set(zip.toString('utf8', at + 46, at + 46 + nameLength), { offset, bytes });
    at += 46 + nameLength;
  }
  return entries;
}

function assertSeeded(
  read: Read | undefined,
  canonical: string,
  shape: readonly number[],
  variant = 0,
): void {
  assert.ok(read !== undefined, `${canonical} is missing`);
  assert.deepEqual(read.shape, shape);
  assert.ok(read.bytes.equals(Buffer.from(seededTensor(canonical, shape, variant).buffer)), canonical);
}

describe('writeCheckpoint', () => {
  it('writes an LDM file with UNet, VAE and text encoder', () => {
    writeCheckpoint(inFolder('model.safetensors'));
    const tensors = readSafetensors(inFolder('model.safetensors'));
    assert.equal(tensors.size, 684 + 244 + 52 + 3);
    assertSeeded(
      tensors.get('model.diffusion_model.output_blocks.3.1.proj_in.weight'),
      'up_blocks.1.attentions.0.proj_in.weight',
      [64, 64, 1, 1],
    );
    assertSeeded(
      tensors.get('first_stage_model.decoder.mid.attn_1.q.weight'),
      'decoder.mid_block.attentions.0.to_q.weight',
      [32, 32, 1, 1],
    );
    assertSeeded(
      tensors.get('cond_stage_model.transformer.text_model.final_layer_norm.bias'),
      'text_model.final_layer_norm.bias',
      [32],
    );
  });

  it('leaves out VAE and text encoder and takes another variant when told so', () => {
    writeCheckpoint(inFolder('unet.safetensors'), { vae: false, textEncoder: false, variant: 1 });
    const tensors = readSafetensors(inFolder('unet.safetensors'));
    const networks = new Set([...tensors.keys()].map((name) => name.split('.')[0]));
    assert.deepEqual([...networks].sort(), ['alphas_cumprod', 'betas', 'model']);
    const convIn = tensors.get('model.diffusion_model.input_blocks.0.0.weight');
    assertSeeded(convIn, 'conv_in.weight', [32, 4, 3, 3], 1);
  });

  it('writes the same bytes into a .ckpt, each storage aligned to 64 bytes', () => {
    writeCheckpoint(inFolder('same.safetensors'));
    writeCheckpoint(inFolder('same.ckpt'));
    const entries = readZip(inFolder('same.ckpt'));
    const tensors = [...readSafetensors(inFolder('same.safetensors')).values()];
    for (const [index, { bytes }] of tensors.entries()) {
      const entry = entries.get(`same/data/${index}`);
      assert.ok(entry !== undefined, `storage ${index} is missing`);
      assert.ok(entry.bytes.equals(bytes), `storage ${index}`);
      assert.equal(entry.offset % 64, 0);
    }
    assert.equal(entries.get('same/byteorder')?.bytes.toString(), 'little');
  });

  it('refuses a file name whose format it does not know', () => {
    assert.throws(() => writeCheckpoint(inFolder('model.gguf')), { code: 'ERR_INVALID_ARGUMENT' });
  });
});

describe('writePipelineFolder', () => {
  it('splits the UNet over shards that the index names', () => {
    writePipelineFolder(inFolder('sharded'), { shards: 3 });
    const unet = inFolder('sharded/unet');
    const index = JSON.parse(
      readFileSync(`${unet}/diffusion_pytorch_model.safetensors.index.json`, 'utf8'),
    ) as {
      weight_map: Record<string, string>;
    };
    const files = new Set(Object.values(index.weight_map));
    assert.equal(files.size, 3);
    assert.equal(Object.keys(index.weight_map).length, 684);
    for (const file of files) {
      for (const name of readSafetensors(`${unet}/${file}`).keys())
        assert.equal(index.weight_map[name], file);
    }
  });

  it('names half-precision archives as published folders do', () => {
    writePipelineFolder(inFolder('half'), { format: 'bin', fileVariant: 'fp16', dtype: 'F16' });
    assert.ok(existsSync(inFolder('half/unet/diffusion_pytorch_model.fp16.bin')));
    assert.ok(existsSync(inFolder('half/text_encoder/pytorch_model.fp16.bin')));
  });

  it('gives the VAE attention its old names on request', () => {
    writePipelineFolder(inFolder('old'), { oldVaeNames: true });
    const vae = readSafetensors(inFolder('old/vae/diffusion_pytorch_model.safetensors'));
    const read = vae.get('encoder.mid_block.attentions.0.query.weight');
    assertSeeded(read, 'encoder.mid_block.attentions.0.to_q.weight', [32, 32]);
  });
});

describe('writeMotionModule', () => {
  for (const [version, modules, positions] of [
    ['v1', 20, 24],
    ['v2', 21, 32],
    ['v3', 20, 32],
  ] as const) {
    it(`writes ${modules} modules with two tables of ${positions} positions each as ${version}`, () => {
      writeMotionModule(inFolder('motion.safetensors'), { version });
      const tensors = readSafetensors(inFolder('motion.safetensors'));
      const tables = [...tensors].filter(([name]) => name.endsWith('.pos_encoder.pe'));
      assert.equal(tensors.size, 28 * modules);
      assert.equal(tables.length, 2 * modules);
      assert.ok(tables.every(([, { shape }]) => shape[1] === positions));
    });
  }

  it('writes an AnimateLCM module with a middle block and without position tables', () => {
    writeMotionModule(inFolder('lcm.safetensors'), { version: 'animatelcm', prefix: 'module.' });
    const names = [...readSafetensors(inFolder('lcm.safetensors')).keys()];
    assert.equal(names.length, 546);
    assert.ok(names.every((name) => name.startsWith('module.') && !name.endsWith('.pe')));
  });

  it('puts the tensors of a .ckpt under a wrapper key with scalars beside them', () => {
    writeMotionModule(inFolder('wrapped.ckpt'), {
      version: 'v1',
      wrapper: 'state_dict',
      scalars: { epoch: 10, animatediff_config: 'none' },
    });
    const pickle = readZip(inFolder('wrapped.ckpt')).get('wrapped/data.pkl')?.bytes.toString('latin1') ?? '';
    for (const text of ['state_dict', 'epoch', 'animatediff_config', 'FloatStorage']) {
      assert.ok(pickle.includes(text), text);
    }
  });

  it('writes a MotionAdapter folder with one position table per module', () => {
    writeMotionAdapter(inFolder('adapter'), { version: 'v2' });
    const tensors = readSafetensors(inFolder('adapter/diffusion_pytorch_model.safetensors'));
    assert.equal(tensors.size, 27 * 21);
    const config = JSON.parse(readFileSync(inFolder('adapter/config.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    assert.equal(config.motion_max_seq_length, 32);
  });
});

describe('positionTable', () => {
  it('is the sinusoid of the AnimateDiff modules', () => {
    const table = positionTable(32, 320);
    const at = (position: number, channel: number) => table[position * 320 + channel] ?? Number.NaN;
    assert.equal(at(0, 0), 0);
    assert.equal(at(0, 1), 1);
    for (const [position, channel] of [
      [1, 0],
      [31, 7],
      [17, 319],
    ] as const) {
      const angle = position * 10000 ** (-(channel - (channel % 2)) / 320);
      const expected = channel % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
      assert.ok(Math.abs(at(position, channel) - expected) < 2e-6);
    }
  });
});

describe('half precision', () => {
  const values = [0, -0, 1, -2, 1 / 3, 65504, 65519, 65520, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25, 2049, 2051];
  const float16 = [0, 0x8000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0x6800, 0x6802];

  it('rounds to the nearest float16 with ties to even', () => {
    assert.deepEqual([...toFloat16(Float32Array.from(values))], float16);
  });

  it('rounds to the nearest bfloat16 with ties to even', () => {
    const ties = Float32Array.from([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 / 3, -1e38]);
    assert.deepEqual([...toBFloat16(ties)], [0x3f80, 0x3f80, 0x3f82, 0x3eab, 0xfe96]);
  });

  it('keeps infinity and NaN', () => {
    const special = Float32Array.from([Number.POSITIVE_INFINITY, Number.NaN]);
    assert.deepEqual([...toFloat16(special)], [0x7c00, 0x7e00]);
    assert.deepEqual([...toBFloat16(special)], [0x7f80, 0x7fc0]);
  });
});

describe('writeWhole', () => {
  it('leaves nothing behind when producing the bytes fails', () => {
    const produce = () => {
      throw new RangeError('no bytes');
    };
    assert.throws(() => writeWhole(inFolder('never/file.bin'), produce), RangeError);
    assert.deepEqual(readdirSync(inFolder('never')), []);
  });
});
