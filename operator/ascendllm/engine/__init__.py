"""What is known of vLLM-Ascend: its options, its images, the chips that they are built for."""
