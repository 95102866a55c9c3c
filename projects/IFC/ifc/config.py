# SPDX-License-Identifier: Apache-2.0
"""Every configuration key that IFC adds to detectron2's defaults."""

from detectron2.config import CfgNode as CN


def add_ifc_config(cfg: CN) -> None:
    """Add IFC's keys, with their defaults, to `cfg` in place.

    Keys of detectron2 that take more values with IFC: `INPUT.MIN_SIZE_TRAIN_SAMPLING` also "range_by_clip" and
    "choice_by_clip" (one size a clip), `INPUT.RANDOM_FLIP` also "flip_by_clip" (one decision a clip),
    `SOLVER.CLIP_GRADIENTS.CLIP_TYPE` also "full_model" (one norm over all parameters, clipped at CLIP_VALUE).
    """
    cfg.MODEL.IFC = CN()
    cfg.MODEL.IFC.NUM_CLASSES = 80  # classes of the data set, "no object" not counted; 0: those of DATASETS.TRAIN[0]

    # Network
    cfg.MODEL.IFC.HIDDEN_DIM = 256  # width of the transformer and of the mask head
    cfg.MODEL.IFC.NHEADS = 8  # attention heads
    cfg.MODEL.IFC.DIM_FEEDFORWARD = 2048  # width of the feed-forward blocks
    cfg.MODEL.IFC.DROPOUT = 0.1  # probability, in the transformer
    cfg.MODEL.IFC.ENC_LAYERS = 3  # of the encoder, each a layer of frames and one of memory tokens
    cfg.MODEL.IFC.DEC_LAYERS = 3  # of the decoder
    cfg.MODEL.IFC.PRE_NORM = False  # layer norm before each block instead of after it
    cfg.MODEL.IFC.NUM_MEMORY_BUS = 8  # memory tokens a frame
    cfg.MODEL.IFC.NUM_OBJECT_QUERIES = 100  # queries a clip

    # An embedding by which the tracker tells an instance from others, trained on several clips of each video
    # (INPUT.CLIPS_PER_VIDEO). Without it the decoder's last states serve.
    cfg.MODEL.IFC.APPEARANCE = CN()
    cfg.MODEL.IFC.APPEARANCE.DIM = 0  # numbers of an embedding; 0: none, as published
    cfg.MODEL.IFC.APPEARANCE.POOLED = False  # made of the pixels under the predicted mask, too
    cfg.MODEL.IFC.APPEARANCE.WEIGHT = 1.0  # weight of its loss
    cfg.MODEL.IFC.APPEARANCE.TEMPERATURE = 0.1  # of its loss: cosines are divided by it
    cfg.MODEL.IFC.APPEARANCE.ONLY = False  # train nothing else: the masks of MODEL.WEIGHTS stay
    cfg.MODEL.IFC.APPEARANCE.ALLOW_MISSING = False  # do without in inference if the weights have none

    # MODEL.BACKBONE.NAME "build_timm_backbone": a model of timm (pip install -e .[timm]) in place of the ResNet.
    cfg.MODEL.TIMM = CN()
    cfg.MODEL.TIMM.NAME = ""  # any with features at strides 4, 8, 16, 32, such as "swin_tiny_patch4_window7_224"
    cfg.MODEL.TIMM.PRETRAINED = False  # where MODEL.WEIGHTS is empty, download its weights
    cfg.MODEL.TIMM.ARGUMENTS = []  # more of timm.create_model's arguments, [[name, value], ...]

    # Training
    cfg.MODEL.IFC.MASK_WEIGHT = 3.0  # weight of the focal mask loss
    cfg.MODEL.IFC.DICE_WEIGHT = 3.0  # weight of the dice loss, and of dice in the matching
    cfg.MODEL.IFC.NO_OBJECT_WEIGHT = 0.1  # weight of "no object" in the cross entropy
    cfg.MODEL.IFC.DEEP_SUPERVISION = True  # losses on every decoder layer
    cfg.MODEL.IFC.MASK_STRIDE = 4  # stride of the masks in the losses
    cfg.MODEL.IFC.MATCH_STRIDE = 4  # stride of the masks in the matching

    # Mask losses and matching at points instead of all pixels of those strides (Mask2Former). 0: off, as published.
    cfg.MODEL.IFC.NUM_POINTS = 0  # of a frame
    cfg.MODEL.IFC.OVERSAMPLE_RATIO = 3.0  # how many times as many the uncertain ones of a loss are chosen from
    cfg.MODEL.IFC.IMPORTANCE_SAMPLE_RATIO = 0.75  # share of uncertain ones in a loss, the others are random

    # Parts of the network that keep less memory and compute it again in the backward pass: "backbone", "encoder".
    cfg.MODEL.IFC.CHECKPOINT_ACTIVATIONS = []

    # Inference
    cfg.MODEL.IFC.CLIP_STRIDE = 1  # frames between the starts of two windows
    cfg.MODEL.IFC.MERGE_ON_CPU = False  # keep the tracker's state on the CPU
    cfg.MODEL.IFC.MULTI_CLS_ON = (
        True  # a track for every (instance, class) above APPLY_CLS_THRES; else the best class only
    )
    cfg.MODEL.IFC.APPLY_CLS_THRES = 0.01  # least class probability of a track

    # How the tracker joins windows: by "mask", as published, or by "mask+embedding", which joins windows that share no
    # frame (CLIP_STRIDE up to the window) and, with MEMORY_FRAMES, takes up the id of an object that was out of sight.
    cfg.MODEL.IFC.TRACKER = CN()
    cfg.MODEL.IFC.TRACKER.ASSOCIATION = "mask"
    cfg.MODEL.IFC.TRACKER.MASK_WEIGHT = 1.0  # of the masks' soft IoU in the score of a track and an instance
    cfg.MODEL.IFC.TRACKER.EMBEDDING_WEIGHT = 1.0  # of the embeddings' cosine, times the agreement of the classes
    cfg.MODEL.IFC.TRACKER.SIMILARITY = 0.5  # least value of that product, 0 to 1, where masks cannot be compared
    cfg.MODEL.IFC.TRACKER.MOMENTUM = 0.2  # weight of the newest embedding in a track's moving average
    cfg.MODEL.IFC.TRACKER.EXEMPLARS = 0  # embeddings, least like each other, that are kept besides the average
    cfg.MODEL.IFC.TRACKER.MEMORY_FRAMES = 0  # frames for which a track may be out of sight and come back; 0: none
    cfg.MODEL.IFC.TRACKER.MEMORY_TRACKS = 100  # tracks out of sight that may come back: those that ended last

    # Speed of inference. Only PRECISION changes the result by more than float32's rounding.
    # "bfloat16", by autocast; "auto": that where the device is fast at it; "tf32": float32 multiplied in TF32 by GPUs
    cfg.MODEL.IFC.PRECISION = "float32"
    cfg.MODEL.IFC.COMPILE = ""  # a mode of torch.compile: "default", "reduce-overhead" (CUDA graphs), "max-autotune", …
    cfg.MODEL.IFC.FRAMES_PER_BATCH = 0  # frames that pass the backbone together; 0: as many as memory has room for
    cfg.MODEL.IFC.WINDOWS_PER_BATCH = 0  # windows that pass the network together at most; 0: as memory has room for
    for key in ("CHANNELS_LAST", "FOLD_BATCH_NORM"):  # how inference on videos always runs
        cfg.register_deprecated_key(f"MODEL.IFC.{key}")

    # Data

    # Data sets of one's own in YTVIS's format, [[name, json file, folder of the frames], ...]: the names can be used in
    # DATASETS.TRAIN and DATASETS.TEST, their classes are read from the json.
    cfg.DATASETS.VIDEO_JSON = []
    # How much of the training each of DATASETS.TRAIN makes up: [1.0, 0.75] is four clips of the first to three of the
    # second. Empty: each by its number of videos or images.
    cfg.DATASETS.TRAIN_RATIO = []

    # Clips
    cfg.INPUT.SAMPLING_FRAME_NUM = 5  # frames of a training clip, and of an inference window
    cfg.INPUT.SAMPLING_FRAME_RANGE = 20  # a clip's frames lie within ± this many frames of the reference frame
    cfg.INPUT.SAMPLING_FRAME_SHUFFLE = False  # shuffle a clip's frames instead of keeping them in order
    # Training clips of a video, or pseudo-clips of an image, that follow each other in a batch, each drawn and
    # augmented by itself. SOLVER.IMS_PER_BATCH counts clips.
    cfg.INPUT.CLIPS_PER_VIDEO = 1
    # Decode training JPEGs at a half, a quarter or an eighth of their size, the smallest that is no smaller than the
    # augmented frame: faster, but pixels differ by some 1 % of their range. Not with INPUT.CROP.
    cfg.INPUT.REDUCED_DECODE = False
    cfg.INPUT.AUGMENTATIONS = []  # any of "brightness", "contrast", "saturation", "rotation"

    # A training clip of one image: its frames are "independent" of each other, or "smooth", as a moving camera sees it.
    # Of smooth clips the camera turns, in place of "rotation", and images are decoded in full.
    cfg.INPUT.PSEUDO_CLIP = "independent"
    cfg.INPUT.MOTION = [15.0, 0.2, 2.0]  # of a smooth clip, at most: degrees, share of the frame, factor of scale
    cfg.INPUT.COPY_PASTE = 0.0  # probability that moving objects of another image are pasted onto a smooth clip

    # Optimizer
    cfg.SOLVER.COMPILE = ""  # a mode of torch.compile for the network in training, without CUDA graphs: "default", …
    cfg.SOLVER.OPTIMIZER = "ADAMW"  # "ADAMW" or "SGD"
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1  # learning-rate factor of every parameter whose name has "backbone"
    cfg.SOLVER.ACCUMULATE = 1  # parts in which a process's share of IMS_PER_BATCH passes the network, to save memory
    cfg.SOLVER.EMA_DECAY = 0.0  # averaged weights, evaluated and saved beside the others: 0.999, …; 0: none
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0  # steps in a row that are left out if losses are not finite; one more ends the run
    cfg.SOLVER.KEEP_CHECKPOINTS = 2  # checkpoints of a training that stay, besides the final and the best one; 0: all

    # Videos and images, of all, that may be unreadable in training, where the next one stands in; more end the run.
    cfg.DATALOADER.MAX_UNREADABLE = 0.01

    # Tests
    cfg.TEST.PICTURES = 4  # videos of the first data set whose results TensorBoard shows after each evaluation
