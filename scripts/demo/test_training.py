"""Quick test of the training stages and the exporters, on tiny networks; about half a minute.

Usage: python -m unittest discover -s scripts/demo -t scripts
"""

import atexit
import json
import shutil
import tempfile
import unittest
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from graphs.families import FAMILIES
from graphs.unet import UNet
from graphs.vae import VaeDecoder, VaeEncoder
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from demo.config import RECIPES, shortened
from demo.drawing.dataset import Source
from demo.drawing.motions import FRAMES
from demo.drawing.names import MOTIONS
from demo.drawing.render import draw_clip
from demo.drawing.scene import Scene
from demo.export import FILES, export
from demo.layouts import ldm_unet, ldm_vae
from demo.lora import adapt, adapted, begin, motion_targets, spatial_targets
from demo.model import Denoiser, Vae
from demo.muon import Muon, orthogonal
from demo.replay import replay
from demo.restore import restore
from demo.sheets import write_sheet
from demo.stages.denoising import denoising_loss
from demo.stages.lora import LORA_START
from demo.stages.motion import CAMERA_STARTS, START, Filmed
from demo.stages.still import PERSONALISED_START
from demo.stages.vae import normalise_latents, trained_vae
from demo.stages.words import Taught
from demo.store import LatentStore, latent_store, to_unit
from demo.tokens import token_ids
from demo.train import STAGES
from demo.training import Run, rate, step_generator
from demo.weights import load_weights, weights_path

torch.set_num_threads(1)


class Optimising(unittest.TestCase):
    def test_makes_matrices_nearly_orthogonal(self) -> None:
        for rows, columns in ((8, 8), (6, 20), (20, 6)):
            x = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(1))
            values = torch.linalg.svdvals(orthogonal(x))
            self.assertTrue(((values > 0.3) & (values < 1.3)).all(), f"{values}")

    def test_finds_a_linear_map(self) -> None:
        generator = torch.Generator().manual_seed(2)
        wanted, x = torch.randn(8, 8, generator=generator), torch.randn(64, 8, generator=generator)
        layer = torch.nn.Linear(8, 8, bias=False)
        optimizer = Muon([layer.weight], lr=0.05)
        errors = []
        for _ in range(200):
            error = (layer(x) - x @ wanted.T).square().mean()
            errors.append(error.item())
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        self.assertLess(errors[-1], 0.01 * errors[0])


class Autoencoder(unittest.TestCase):
    def test_normalises_its_latents_without_changing_pictures(self) -> None:
        torch.manual_seed(0)
        vae = Vae(RECIPES["test"].family)
        x = to_unit(draw_clip(Scene("red", "star", "moving left", "black"))[:4], torch.device("cpu"))
        before = vae.pictures(vae.latents(x)).detach()
        normalise_latents(vae, x)
        latents = vae.latents(x).detach()
        torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(vae.pictures(latents), before, atol=1e-4, rtol=0)


@cache
def finished_run() -> Run:
    """All stages, run once for all tests, in a folder that goes away with the process."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    run = Run(RECIPES["test"], Path(folder), torch.device("cpu"))
    for stage in STAGES.values():
        stage(run)
    return run


class Stages(unittest.TestCase):
    def setUp(self) -> None:
        self.run_all = finished_run()

    def losses(self, stage: str) -> list[float]:
        lines = (self.run_all.folder / stage / "log.jsonl").read_text().splitlines()
        return [record["loss"] for record in map(json.loads, lines) if "loss" in record]

    def loss_of(self, model: Denoiser, store: LatentStore) -> float:
        """Mean over the same random steps for every model."""
        loss = denoising_loss(self.run_all, model, store, 8)
        with torch.no_grad():
            return np.mean([float(loss(i, step_generator(self.run_all, "held", i))) for i in range(8)])

    def store(self, source: Source) -> LatentStore:
        run = self.run_all
        return latent_store(source, trained_vae(run), run.data, run.device, 1)

    def denoiser(self, stage: str, motion: bool) -> Denoiser:
        model = Denoiser(RECIPES["test"].family, motion)
        load_weights(weights_path(self.run_all.folder, stage), model, strict=not motion)
        return model

    def test_vae_and_still_reduce_their_loss(self) -> None:
        for stage in ("vae", "still"):
            losses = self.losses(stage)
            self.assertLess(np.mean(losses[-2:]), 0.9 * losses[0], stage)

    def test_motion_reduces_the_loss_on_clips_and_leaves_the_rest_alone(self) -> None:
        recipe = RECIPES["test"]
        clips = self.store(Source(recipe.seed + 3, recipe.motion.scenes, frames=FRAMES))
        without, with_motion = self.denoiser("views", True), self.denoiser("motion", True)
        self.assertLess(self.loss_of(with_motion, clips), self.loss_of(without, clips) - 0.005)
        trained = load_file(weights_path(self.run_all.folder, "motion"))
        for name, tensor in load_file(weights_path(self.run_all.folder, "views")).items():
            self.assertTrue(torch.equal(trained[name], tensor), name)

    def test_heads_drive_the_features_of_different_motions_apart(self) -> None:
        taught = Taught(self.denoiser("still", False))
        ids = token_ids([f"a red star {motion} on a black background" for motion in MOTIONS])
        noisy = torch.randn(1, 4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
        noisy, t = noisy.expand(len(ids), -1, -1, -1, -1), torch.full((len(ids),), 960)
        optimizer = torch.optim.Adam(taught.parameters(), 3e-3)
        losses = []
        for _ in range(80):
            taught.model(noisy, t, taught.model.text(ids, 0))
            loss = taught.heads.loss(torch.arange(len(ids)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        self.assertAlmostEqual(losses[0], np.log(len(ids)), delta=0.5)  # the words made no difference yet
        self.assertLess(losses[-1], 0.8 * losses[0])

    def test_personalised_reduces_the_loss_on_its_style(self) -> None:
        recipe = RECIPES["test"]
        neon = self.store(Source(recipe.seed + 4, recipe.personalised.scenes, style="neon"))
        before, after = self.denoiser("views", False), self.denoiser("personalised", False)
        self.assertLess(self.loss_of(after, neon), self.loss_of(before, neon) - 0.005)

    def test_a_resumed_run_gives_the_same_bits(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = replace(self.run_all, folder=Path(folder))
            for stage in ("vae", "still"):
                STAGES[stage](replace(run, limit=4))
                self.assertFalse(weights_path(run.folder, stage).exists())
                STAGES[stage](run)
                resumed = load_file(weights_path(run.folder, stage))
                for name, tensor in load_file(weights_path(self.run_all.folder, stage)).items():
                    self.assertTrue(torch.equal(resumed[name], tensor), f"{stage}: {name}")

    def test_a_stage_with_a_time_limit_ends_then_with_small_steps(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = replace(self.run_all, folder=Path(folder), seconds=1.0)
            for stage in ("vae", "motion"):
                shutil.copytree(self.run_all.folder / stage, run.folder / stage)
            (run.folder / "data").symlink_to(self.run_all.folder / "data")
            STAGES["pan-left"](run)
            self.assertTrue(weights_path(run.folder, "pan-left").exists())
            lines = (run.folder / "pan-left" / "log.jsonl").read_text().splitlines()
            steps = json.loads(lines[-1])["step"]
            self.assertEqual(len(list((run.folder / "pan-left").glob(f"sheet-{steps:06d}.png"))), 1)
        stage = RECIPES["test"].motion_lora
        self.assertEqual(rate(stage, 0, 0.0), 1 / stage.warmup)
        self.assertAlmostEqual(rate(stage, 50, 0.5), 0.51)
        self.assertAlmostEqual(rate(stage, 50, 1.1), 0.02)

    def test_a_shortened_recipe_takes_that_share_of_the_steps_and_changes_nothing_else(self) -> None:
        recipe = RECIPES["test"]
        short = shortened(recipe, 0.5)
        self.assertEqual((short.vae.steps, short.motion.steps, short.motion_lora.steps), (4, 3, 3))
        self.assertEqual(replace(short.vae, steps=recipe.vae.steps), recipe.vae)
        self.assertEqual(shortened(recipe, 1), recipe)

    def test_motion_trains_with_the_motion_loras_in_turn(self) -> None:
        run = self.run_all
        filmed = Filmed(run, self.denoiser("views", True))
        stores = {
            camera: LatentStore(torch.full((3, 16, 4, 2, 2), x), torch.full((3, 4, 77), 7))
            for camera, x in {"fixed": 0.0, "zoom-in": 1.0, "pan-left": 2.0}.items()
        }
        objective = filmed.objective(run, stores, 2)
        turns = [objective.draw(step, step_generator(run, "held", step)) for step in range(4)]
        self.assertEqual([float(turn[0].mean()) for turn in turns], [0, 1, 0, 2])
        self.assertEqual([turn[-1].tolist() for turn in turns], [[0, 0], [1, 0], [0, 0], [0, 1]])

    def test_a_gate_opens_one_motion_lora(self) -> None:
        run = self.run_all
        model = self.denoiser("motion", True)
        drawn = torch.Generator().manual_seed(1)
        noisy = torch.randn(1, 4, 16, 4, 4, generator=drawn)
        text = torch.randn(1, 77, RECIPES["test"].family.text.hidden, generator=drawn)
        inputs = (noisy, torch.tensor([500]), text)
        filmed = Filmed(run, model)
        with torch.no_grad():
            plain, *seen = (filmed(*inputs, torch.tensor(g)) for g in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]))
            torch.testing.assert_close(plain, model(*inputs))
            for camera, prediction in zip(CAMERA_STARTS, seen):
                other = self.denoiser("motion", True)
                adapt(other.unet, motion_targets(other.unet), run.recipe.motion_lora_rank, 0)
                begin(other.unet, weights_path(run.folder, CAMERA_STARTS[camera]))
                torch.testing.assert_close(prediction, other(*inputs))
                self.assertGreater(float((prediction - plain).abs().max()), 1e-4)

    def test_goes_on_where_steps_cannot_be_replayed(self) -> None:
        parameter = torch.nn.Parameter(torch.ones(2))
        with mock.patch.object(torch.cuda, "Stream", side_effect=RuntimeError("no graphs")):
            self.assertEqual(replay(lambda x: x, [torch.ones(1)], [parameter]), "RuntimeError: no graphs")

    def test_lays_sheets_out_row_by_row(self) -> None:
        path = self.run_all.folder / "sheet.png"
        pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 3, 3), np.uint8)
        write_sheet(path, pictures, columns=3)
        np.testing.assert_array_equal(np.asarray(Image.open(path))[::2, ::3, 0], [[1, 2, 3], [4, 5, 0]])

    def test_writes_sheets(self) -> None:
        for stage in STAGES:
            self.assertEqual(len(list((self.run_all.folder / stage).glob("sheet-*.png"))), 1, stage)


class Exports(unittest.TestCase):
    def exported(self) -> dict[str, dict[str, Tensor]]:
        folder = finished_run().folder
        target = folder / "exported"
        export(folder, target)
        return {kind: load_file(target / name) for kind, name in FILES.items()}

    def test_have_the_names_and_shapes_of_real_files(self) -> None:
        files = self.exported()
        motion = "down_blocks.0.motion_modules.0.temporal_transformer"
        attention = f"{motion}.transformer_blocks.0.attention_blocks.0"
        kohya = "lora_unet_mid_block_attentions_0_transformer_blocks_0"
        expected = {
            "base": {
                "model.diffusion_model.input_blocks.1.0.in_layers.0.weight": [8],
                "model.diffusion_model.input_blocks.3.0.op.weight": [8, 8, 3, 3],
                "model.diffusion_model.output_blocks.5.2.conv.weight": [16, 16, 3, 3],
                "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": [16, 32],
                "model.diffusion_model.output_blocks.11.0.skip_connection.weight": [8, 16, 1, 1],
                "first_stage_model.encoder.mid.attn_1.q.weight": [8, 8, 1, 1],
                "first_stage_model.decoder.up.3.block.0.conv1.weight": [8, 8, 3, 3],
                "first_stage_model.quant_conv.weight": [8, 8, 1, 1],
                "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": [49408, 32],
            },
            "motion": {
                f"{attention}.pos_encoder.pe": [1, 32, 8],
                f"{attention}.to_out.0.weight": [8, 8],
                "mid_block.motion_modules.0.temporal_transformer.proj_in.weight": [16, 16],
            },
            "personalised": {"model.diffusion_model.out.2.weight": [4, 8, 3, 3]},
            "lora": {
                "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": [8, 8, 1, 1],
                f"{kohya}_attn2_to_q.lora_down.weight": [8, 16],
                f"{kohya}_ff_net_0_proj.lora_up.weight": [128, 8],
                f"{kohya}_attn2_to_q.alpha": [],
            },
            "zoom-in": {f"{attention}.processor.to_out_lora.up.weight": [8, 8]},
            "pan-left": {f"{attention}.processor.to_q_lora.down.weight": [8, 8]},
        }
        for kind, tensors in expected.items():
            for name, shape in tensors.items():
                self.assertEqual(list(files[kind][name].shape), shape, f"{kind}: {name}")
                self.assertEqual(files[kind][name].dtype, torch.float16)

    def test_are_read_back_into_the_weights_of_their_stages(self) -> None:
        self.exported()
        folder = finished_run().folder
        with tempfile.TemporaryDirectory() as out:
            stages = ("vae", "still", "words", "polish", "views", "personalised", "motion", START)
            restore(folder / "exported", Path(out), stages, RECIPES["test"])
            for stage in stages:
                source = {"still": "views", "words": "views", "polish": "views", START: "motion"}.get(
                    stage, stage
                )
                expected = load_file(weights_path(folder, source))
                for name, tensor in load_file(weights_path(Path(out), stage)).items():
                    self.assertTrue(torch.equal(tensor, expected[name].half().float()), f"{stage}: {name}")

    def test_styles_and_cameras_are_read_back_as_updates_that_training_goes_on_from(self) -> None:
        self.exported()
        folder, recipe = finished_run().folder, RECIPES["test"]
        base, neon = (load_file(weights_path(folder, stage)) for stage in ("views", "personalised"))
        trained = load_file(weights_path(folder, "lora"))
        with tempfile.TemporaryDirectory() as out:
            starts = (LORA_START, PERSONALISED_START, *CAMERA_STARTS.values())
            restore(folder / "exported", Path(out), starts, recipe)
            for camera, start in CAMERA_STARTS.items():
                trained_camera = load_file(weights_path(folder, camera))
                begun = load_file(weights_path(Path(out), start))
                self.assertEqual(begun.keys(), trained_camera.keys())
                for name, tensor in begun.items():
                    self.assertTrue(torch.equal(tensor, trained_camera[name].half().float()), name)
            for name, tensor in load_file(weights_path(Path(out), LORA_START)).items():
                self.assertTrue(torch.equal(tensor, trained[name].half().float()), name)
            unet = Denoiser(recipe.family, motion=False).unet
            adapt(unet, spatial_targets(unet), recipe.personalised_rank, 0)
            begin(unet, weights_path(Path(out), PERSONALISED_START))
            begun = adapted(unet)
        layer = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
        change = neon[f"unet.{layer}.weight"] - base[f"unet.{layer}.weight"]
        torch.testing.assert_close(
            begun[f"{layer}.up"] @ begun[f"{layer}.down"], change, atol=2e-3, rtol=1e-2
        )

    def test_name_every_tensor_of_stable_diffusion(self) -> None:
        sd15 = FAMILIES[0]
        with torch.device("meta"):
            unet = UNet(sd15.unet, motion=False, motion_mid=False)
            encoder, decoder = VaeEncoder(sd15.vae), VaeDecoder(sd15.vae)
        self.assertEqual(len(ldm_unet(unet.state_dict())), 686)
        self.assertEqual(len(ldm_vae(encoder.state_dict() | decoder.state_dict())), 248)
        files = self.exported()
        self.assertEqual(len(files["motion"]), 588)
        self.assertEqual(len(files["lora"]), 16 * 10 * 3)
        self.assertEqual(len(files["zoom-in"]), 21 * 8 * 2)

    def test_reproduce_the_weights_that_the_lora_was_trained_as(self) -> None:
        files = self.exported()
        trained = load_file(weights_path(finished_run().folder, "lora"))
        layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
        key = "lora_unet_" + layer.replace(".", "_")
        down, up, alpha = (
            files["lora"][f"{key}.{part}"].float() for part in ("lora_down.weight", "lora_up.weight", "alpha")
        )
        torch.testing.assert_close(
            alpha / len(down) * up @ down,
            trained[f"{layer}.up"] @ trained[f"{layer}.down"],
            atol=1e-3,
            rtol=1e-2,
        )


if __name__ == "__main__":
    unittest.main()
